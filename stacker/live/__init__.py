"""Stacks in memory, unwritten. transformers and accelerate are imported here and nowhere else."""
