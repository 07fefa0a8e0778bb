"""Architectures as data: which tensors a family has, what they do, and what of its config follows the layers."""
