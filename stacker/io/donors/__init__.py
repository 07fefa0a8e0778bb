"""Reads donors and their side files (such as tokenizer files) from a local folder or from the hub."""
