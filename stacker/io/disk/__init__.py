"""Bytes on the disk: space, copies by the cheapest way, writes past the page cache."""
