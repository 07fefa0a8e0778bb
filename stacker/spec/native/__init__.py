"""The native language: its shape, its reader, its writer, and the words of its messages."""
