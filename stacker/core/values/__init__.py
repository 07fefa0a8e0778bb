"""Values that all rooms of the core share: donors, expressions, and parameters for one layer."""
