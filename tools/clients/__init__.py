"""Holds what the architecture files say of other programs against these programs: tiny stacks, converted and run."""
