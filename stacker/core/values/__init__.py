"""Values that all packages in stacker.core share: donors, expressions, and parameters for one layer."""
