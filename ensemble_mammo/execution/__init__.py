"""How work is spread over files: the same results from any engine."""
