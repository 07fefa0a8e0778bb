"""How far the weights of two checkpoints are from each other, by role and layer."""
