"""mergekit's language: its reader, its merge methods as a table, and its writer."""
