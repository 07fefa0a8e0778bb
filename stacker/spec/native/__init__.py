"""Reads and writes stacker's native YAML specs, and makes their JSON schema."""
