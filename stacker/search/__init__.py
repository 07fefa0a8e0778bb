"""Finds better stacks: sweeps and searches, above `measure` and below `view`."""
