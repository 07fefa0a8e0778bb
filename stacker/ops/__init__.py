"""Blend ops: pure tensor arithmetic, one file an op, and the table of them. `stacker.arithmetic` does the computing."""
