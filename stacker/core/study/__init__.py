"""Computes facts about donors and stacks from configs and file headers: sizes, KV cache, layer groups, differences."""
