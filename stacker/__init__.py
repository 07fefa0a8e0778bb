"""stacker: a composer of frankenmerges."""
