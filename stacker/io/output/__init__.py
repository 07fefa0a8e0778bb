"""Writes the output folder: locks it while writing, resumes after a crash, and renames it when it is complete."""
