"""Makes a model of transformers from a Plan without writing a checkpoint; uses torch, transformers and accelerate."""
