"""What is wrong with a stack (checks), and what is unwise in it (lints)."""
