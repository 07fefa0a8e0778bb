"""Array operations that merge pieces of tensors: compiled by numba for the CPU, and written in torch for a GPU."""
