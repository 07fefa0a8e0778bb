"""The config.json of a stack, and which stacks no config can express."""
