"""Sweeps: the points that are tried, their measurement, and the log of it."""
