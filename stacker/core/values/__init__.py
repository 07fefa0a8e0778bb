"""Values that all rooms of the core share: donors, expressions, parameters bound to a layer."""
