"""What an architecture file says: the values, the formulas and roles in them, and the parser."""
