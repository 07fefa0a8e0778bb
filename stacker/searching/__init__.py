"""Searches for better stacks from a spec: its space, what candidates are measured on, and the report of the winner."""
