"""What every view of a stack is drawn from: the scene, colours, texts and tables."""
