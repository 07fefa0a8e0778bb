"""Combines the tokenizers of a stack's donors: vocabulary, rows of embedding and head, tokenizer files."""
