"""Sweeps: what was tried, as a table, a plot or heat map, a page and JSON."""
