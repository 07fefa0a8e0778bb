"""Extracts a LoRA from a fine-tuned checkpoint and its base, tensor by tensor."""
