"""`python -m tools.bench.gguf_donors FILE SIZE TYPE OTHER [sparse]`: writes a GGUF file for the benchmarks.

It is a program of its own, because the memory of the benchmarks' process counts into that of the programs they start.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stacker.formats.ggml_types import GGML_TYPES, find_dtype
from stacker.formats.gguf import ALIGNMENT, encode_entry, encode_infos, encode_start, pad_offsets
from stacker.tensors import Dtype, TensorSpec

F32 = GGML_TYPES[0]
_PIECE = 1 << 24


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a llama."""

    layers: int
    hidden: int
    kv: int
    ffn: int
    vocab: int

    def tensors(self, matrix: Dtype, other: Dtype) -> list[TensorSpec]:
        """All tensors: matrices of the type `matrix`, except that values and down projections have the type `other`."""
        found = [TensorSpec("token_embd.weight", matrix, (self.vocab, self.hidden))]
        for layer in range(self.layers):
            begin = f"blk.{layer}."
            found += [
                TensorSpec(f"{begin}attn_norm.weight", F32, (self.hidden,)),
                TensorSpec(f"{begin}attn_q.weight", matrix, (self.hidden, self.hidden)),
                TensorSpec(f"{begin}attn_k.weight", matrix, (self.kv, self.hidden)),
                TensorSpec(f"{begin}attn_v.weight", other, (self.kv, self.hidden)),
                TensorSpec(f"{begin}attn_output.weight", matrix, (self.hidden, self.hidden)),
                TensorSpec(f"{begin}ffn_norm.weight", F32, (self.hidden,)),
                TensorSpec(f"{begin}ffn_gate.weight", matrix, (self.ffn, self.hidden)),
                TensorSpec(f"{begin}ffn_up.weight", matrix, (self.ffn, self.hidden)),
                TensorSpec(f"{begin}ffn_down.weight", other, (self.hidden, self.ffn)),
            ]
        found.append(TensorSpec("output_norm.weight", F32, (self.hidden,)))
        return [*found, TensorSpec("output.weight", other, (self.vocab, self.hidden))]


SIZES = {
    "8B": Shape(30, 4096, 1024, 14336, 32000),
    "3B": Shape(24, 3072, 1024, 9216, 32000),
    "70B": Shape(80, 8192, 1024, 28672, 128256),
}


def write_gguf(path: Path, shape: Shape, matrix: Dtype, other: Dtype, *, sparse: bool) -> Path:
    """Write a GGUF file with a tokenizer, unless it exists; its tensors are random bytes, or a hole if `sparse`."""
    if path.exists():
        return path
    tensors = shape.tensors(matrix, other)
    entries: list[tuple[str, str, object]] = [
        ("general.architecture", "str", "llama"), ("general.name", "str", path.stem),
        ("llama.block_count", "u32", shape.layers), ("llama.embedding_length", "u32", shape.hidden),
        ("llama.feed_forward_length", "u32", shape.ffn), ("llama.attention.head_count", "u32", shape.hidden // 128),
        ("llama.attention.head_count_kv", "u32", shape.kv // 128), ("tokenizer.ggml.model", "str", "gpt2"),
        ("tokenizer.ggml.tokens", "[str]", [f"token{number}" for number in range(shape.vocab)]),
        ("tokenizer.ggml.merges", "[str]", [f"to ken{number}" for number in range(2 * shape.vocab)]),
    ]  # fmt: skip
    header = encode_start(len(tensors), len(entries)) + b"".join(encode_entry(*entry) for entry in entries)
    header += encode_infos(tensors, ALIGNMENT)
    header = header.ljust(-(-len(header) // ALIGNMENT) * ALIGNMENT, b"\0")
    size = pad_offsets([tensor.nbytes for tensor in tensors], ALIGNMENT)[-1]
    with path.open("wb") as file:
        file.write(header)
        if not sparse:
            piece = bytes(byte & 0x3F for byte in os.urandom(_PIECE))
            for begin in range(0, size, _PIECE):
                file.write(piece[: min(_PIECE, size - begin)])
        file.truncate(len(header) + size)
    return path


if __name__ == "__main__":
    file, size, *kinds = sys.argv[1:]
    matrix, other = (find_dtype(kind, 0, 0) for kind in kinds[:2])
    write_gguf(Path(file), SIZES[size], matrix, other, sparse="sparse" in kinds)
