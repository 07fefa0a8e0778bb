"""The plan: every output tensor, where it lies, how it is made, what it costs; and the tasks of executors."""
