"""Donors and their side files, read from a folder or from the hub."""
