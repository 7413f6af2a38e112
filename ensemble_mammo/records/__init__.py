"""The nouns handed between stages: numpy and pandas at most, no torch."""
