"""Folds LoRA adapters into donors: which tensors they change, and the expressions that compute the changed tensors."""
