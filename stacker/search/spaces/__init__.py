"""What a search moves in: named numbers and words, and orders of layers."""
