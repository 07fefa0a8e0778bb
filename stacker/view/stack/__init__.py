"""Shows a whole stack on the terminal and as JSON: preview, summary, comparison, build plan and build report."""
