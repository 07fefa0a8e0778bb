"""What candidates are measured on: windows of texts, live stacks, and the last comparison."""
