"""Checks disk space, copies bytes between files in the cheapest way, and writes files past the page cache."""
