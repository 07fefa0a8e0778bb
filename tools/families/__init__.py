"""Stacks of tiny donors for every decoder family of transformers, and a table of the results."""
