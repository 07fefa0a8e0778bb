"""The depth map of a stack in a terminal, its annotations, and the coverage of its donors."""
