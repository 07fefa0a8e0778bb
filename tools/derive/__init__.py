"""Drafts the architecture file of a family from tiny models of several sizes that transformers saves."""
