"""Takes texts through the layers of live stacks, and describes and compares the states between layers."""
