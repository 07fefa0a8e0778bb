"""Describes model families as data: their tensors, the roles of the tensors, and config entries that concern layers."""
