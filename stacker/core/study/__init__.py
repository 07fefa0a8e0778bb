"""What can be said of donors and stacks from headers alone: figures, caches, kinds of layers, differences."""
