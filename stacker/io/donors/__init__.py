"""Donors and what belongs to them, read from a folder or the hub."""
