"""Config entries that seem to treat layers differently by index but are not in the family's architecture file."""
