"""Draws in a terminal the depth map of a stack, its annotations, and how often each donor layer is used."""
