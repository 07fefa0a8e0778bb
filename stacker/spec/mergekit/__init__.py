"""mergekit's language: its reader, its table of merge methods, and its writer."""
