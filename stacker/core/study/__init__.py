"""Facts about donors and stacks from configs and headers alone: figures, KV cache, layer groups, differences."""
