"""Says what a stack is worth: losses on texts, answers to questions, and intervals around differences."""
