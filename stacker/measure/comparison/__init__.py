"""Several stacks on the same texts and questions: figures with differences, and the tokens that change."""
