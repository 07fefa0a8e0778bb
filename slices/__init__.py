"""Recipes: published stacks, one spec a file, readable with `importlib.resources` as `stacker.slices`."""
