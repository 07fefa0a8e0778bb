"""Array operations for merging tensors: functions compiled by numba for the CPU, and torch operations for a GPU."""
