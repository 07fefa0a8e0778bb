"""The native language: its shape, its reader, its writer, and the advice in its messages."""
