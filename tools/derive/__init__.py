"""A family's file, drafted from what transformers saves of tiny models of several sizes."""
