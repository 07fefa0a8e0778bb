"""Shows family trees of checkpoints, and the origins of tensors."""
