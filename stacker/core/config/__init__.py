"""Compiles the config.json of a stack and refuses stacks that no config can express."""
