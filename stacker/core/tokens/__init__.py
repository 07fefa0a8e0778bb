"""Vocabularies: which token has which row of the embedding and the head."""
