"""Checks, which find errors in a stack, and lints, which find weaknesses."""
