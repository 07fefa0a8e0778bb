"""Every decoder family of transformers tried, and the table of what came out."""
