"""Checks disk space, copies bytes between files in the cheapest way, and bypasses the page cache to write files."""
