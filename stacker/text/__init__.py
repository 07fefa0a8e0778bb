"""YAML 1.2 core schema as nodes that know their place in the text, and data as YAML text."""
