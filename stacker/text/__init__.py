"""Reads YAML 1.2 into nodes that know their line and column, and writes data as YAML text."""
