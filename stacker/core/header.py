"""The header of a safetensors file, made from what the file will hold.

Format: https://github.com/huggingface/safetensors (README, Format): a u64 length, JSON, spaces, then the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from stacker.tensors import TensorSpec


def make_header(tensors: Iterable[TensorSpec], *, residue: int = 0, step: int = 8) -> bytes:
    """All bytes before the data of tensors that follow each other without gaps.

    Spaces after the JSON let the data start at `residue` modulo `step` (bytes); with `step` 0, at exactly `residue`.
    """
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        table[tensor.name] = {
            "dtype": tensor.dtype.label,
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    padding = residue - 8 - len(text)
    length = len(text) + (padding % step if step else padding)
    return length.to_bytes(8, "little") + text.ljust(length)
