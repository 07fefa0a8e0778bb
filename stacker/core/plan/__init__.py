"""Plans a build: where each output tensor is stored, how it is computed, what it costs, and the tasks for executors."""
