"""Disturbs builds in every way that a machine can, and counts what survives: `python -m tools.faults`."""
