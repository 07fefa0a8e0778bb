"""Feeds damaged inputs to everything that reads somebody else's bytes: `python -m tools.fuzz`."""
