"""What every picture of a stack is drawn from: the scene, colours, and parts of a stack in words."""
