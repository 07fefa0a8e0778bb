"""The native language: allowed keys and types, the reader, the writer, and advice for error messages."""
