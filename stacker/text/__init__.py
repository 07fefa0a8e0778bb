"""Read YAML 1.2 into nodes that know their line and column, and write data as YAML text."""
