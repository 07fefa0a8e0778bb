"""Arithmetic of a plan: expressions evaluated tile by tile, on the processor or a GPU."""
