"""Blend ops: pure tensor arithmetic, one file an op, and the table of them. Torch is imported when an op is applied."""
