"""Looks into a donor with a text: what its layers do, what repeating or dropping them costs, and which donors fit."""
