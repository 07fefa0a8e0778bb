"""Reads ranges of donors' files from servers, without storing the files."""
