"""Prepares what all views of a stack are drawn from: the scene, donor colours, texts and tables."""
