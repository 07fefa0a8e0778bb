"""Decides which small files beside the weights a stack takes from which donor, and what is removed from them."""
