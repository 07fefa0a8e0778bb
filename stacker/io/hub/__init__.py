"""Reads donors from the Hugging Face hub."""
