"""Parses specs into immutable values and writes them back as text, without reading any file or donor."""
