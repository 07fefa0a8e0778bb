"""The output folder: locked while it is written, resumed after a crash, renamed to its final name when complete."""
