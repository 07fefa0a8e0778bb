"""What ops are built from: the declaration of an op, checks of its parameters, and arithmetic that ops share."""
