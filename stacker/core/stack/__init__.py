"""Turns a spec into the ordered nodes of a stack: the embedding, each output layer, and the head."""
