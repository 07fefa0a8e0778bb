"""Array operations on tiles, for ops: compiled for the processor, or in torch on a device."""
