"""Computes output tensors: evaluates the expressions of a plan tile by tile, on the CPU or a GPU."""
