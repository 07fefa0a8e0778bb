"""Measures what repeating and dropping runs of layers changes, and how sure that is."""
