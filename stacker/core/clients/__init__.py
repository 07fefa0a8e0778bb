"""Judges which programs compute a stack as transformers does, and proposes stacks that more of them compute so."""
