"""What was found, drawn and written: pages, charts, tables. Nothing is computed here."""
