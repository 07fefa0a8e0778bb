"""Tables for the terminal and their JSON: donors, differences, ops, families, recipes, machines."""
