"""One thing as a table for people and as JSON for programs: a donor, an op, a family, a recipe, a machine."""
