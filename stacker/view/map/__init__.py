"""The depth map of a stack in a terminal, and the lines below it."""
