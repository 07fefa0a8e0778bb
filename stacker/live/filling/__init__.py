"""Fills a model of transformers with the weights of a plan: names, sharing, devices, and layers that are streamed."""
