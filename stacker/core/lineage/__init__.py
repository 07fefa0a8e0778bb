"""Where a checkpoint comes from: its ancestors, their licences, and the origin of single tensors."""
