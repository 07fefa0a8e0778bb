"""A whole stack for the terminal and as JSON: preview, comparison, plan."""
