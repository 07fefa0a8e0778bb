"""Tokenizers of several donors in one stack: vocabulary, rows of embedding and head, tokenizer files."""
