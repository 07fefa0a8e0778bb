"""Compiles the config.json of a stack, and refuses stacks whose layers no config.json can describe."""
