"""File formats: bytes to tables and back. No module here opens a file."""
