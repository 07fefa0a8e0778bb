"""Architectures as data: the tensors of a model family, their roles, and the config entries that depend on layers."""
