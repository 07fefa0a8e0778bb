"""What ops are built with: what an op declares, the values given to it, and arithmetic that several papers share."""
