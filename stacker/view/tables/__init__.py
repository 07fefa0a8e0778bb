"""Shows donors, donor differences, ops, families, recipes and machines as tables for the terminal and as JSON."""
