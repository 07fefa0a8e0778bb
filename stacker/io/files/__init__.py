"""Files that others made: opened safely, read in full, listed by folder."""
