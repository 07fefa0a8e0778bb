"""A whole stack for the terminal and as JSON: summary, preview, comparison, plan and build report."""
