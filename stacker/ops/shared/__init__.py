"""What all ops are built from: the declaration of an op, checks of parameter values, and shared arithmetic."""
