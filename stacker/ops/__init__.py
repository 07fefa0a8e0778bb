"""Blend ops, one file each, and their table; `stacker.arithmetic` does the computing."""
