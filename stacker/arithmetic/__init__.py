"""The array operations with which ops compute on tiles: compiled for the processor, or in torch on a GPU."""
