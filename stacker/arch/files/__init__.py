"""The architecture file format: its values, formulas and roles, and the parser."""
