"""Searches of real models: two fine-tunes of a small one, and the same model stacked on itself."""
