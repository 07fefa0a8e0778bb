"""The merge operations (ops) such as slerp and ties, one module for each, and the table that lists them by name."""
