"""Facts about donors and stacks, from configs and file headers alone: figures, KV cache, layer groups, differences."""
