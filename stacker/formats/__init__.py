"""File formats as knowledge: bytes to tables and back. Nothing here opens a file."""
