"""Reads and writes mergekit's YAML files, and knows mergekit's merge methods."""
