"""Computes output tensors by evaluating the expressions of a plan, one range of elements at a time, on CPU or GPU."""
