"""Parses and makes the bytes of safetensors, index and JSON files; no module here opens a file."""
