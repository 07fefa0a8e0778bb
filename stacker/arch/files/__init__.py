"""Parses architecture files, and defines the values, formulas and tensor roles in them."""
