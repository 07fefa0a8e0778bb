"""The plan of a build: each output tensor with its place and how it is computed, the costs, and executors' tasks."""
