"""Judges which clients, such as llama.cpp, compute a stack as transformers does, and proposes stacks that suit more."""
