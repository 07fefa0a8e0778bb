"""Tiny GGUF donors, written by the package gguf, and their tensors as it reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES

HIDDEN, FFN, VOCAB, LAYERS = 256, 512, 12, 4
Shapes = Mapping[str, tuple[int, ...]]
LAYER: Shapes = {
    "attn_norm.weight": (HIDDEN,),
    "attn_q.weight": (HIDDEN, HIDDEN),
    "attn_k.weight": (HIDDEN, HIDDEN),
    "attn_v.weight": (HIDDEN, HIDDEN),
    "attn_output.weight": (HIDDEN, HIDDEN),
    "ffn_norm.weight": (HIDDEN,),
    "ffn_gate.weight": (FFN, HIDDEN),
    "ffn_up.weight": (FFN, HIDDEN),
    "ffn_down.weight": (HIDDEN, FFN),
}


def write_gguf(
    path: Path,
    *,
    arch: str = "llama",
    layers: int = LAYERS,
    kind: str = "Q8_0",
    seed: int = 0,
    head: bool = True,
    keys: Mapping[str, Any] | None = None,
    shapes: Shapes = LAYER,
    types: Mapping[str, str] | None = None,
    tokens: int = VOCAB,
    name: str = "tiny",
    general: Mapping[str, Any] | None = None,
) -> Path:
    """Write a GGUF donor: matrices have the tensor type `kind`, unless `types` says otherwise; vectors are F32.

    `keys` are more metadata, without the prefix of the architecture, and `general` more without `general.`; a list
    becomes an array.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, arch)
    writer.add_name(name)
    writer.add_uint32("general.quantization_version", 2)
    writer.add_uint32(f"{arch}.block_count", layers)
    standard: dict[str, Any] = {"embedding_length": HIDDEN, "feed_forward_length": FFN, "context_length": 64}
    standard |= {"attention.head_count": 4, "attention.head_count_kv": 4, "rope.freq_base": 10000.0}
    standard |= {"attention.layer_norm_rms_epsilon": 1e-5}
    for key, value in {**standard, **(keys or {})}.items():
        _add(writer, f"{arch}.{key}", value)
    for key, value in (general or {}).items():
        _add(writer, f"general.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {seed} {number}" for number in range(tokens)])
    writer.add_token_types([1] * tokens)
    random = np.random.default_rng(seed)
    for tensor, shape in list_shapes(layers, shapes, head=head):
        suffix = tensor.partition(".")[2].partition(".")[2]
        own = (types or {}).get(tensor, (types or {}).get(suffix, kind if len(shape) > 1 else "F32"))
        _add_tensor(writer, tensor, shape, GGMLQuantizationType[own], random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def list_shapes(layers: int, shapes: Shapes, *, head: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names and shapes of all tensors."""
    yield "token_embd.weight", (VOCAB, HIDDEN)
    for layer in range(layers):
        yield from ((f"blk.{layer}.{suffix}", shape) for suffix, shape in shapes.items())
    yield "output_norm.weight", (HIDDEN,)
    if head:
        yield "output.weight", (VOCAB, HIDDEN)


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_float32(key, value)


def _add_tensor(
    writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType, random: np.random.Generator
) -> None:
    block, size = GGML_QUANT_SIZES[kind]
    if kind is GGMLQuantizationType.F32:
        writer.add_tensor(name, random.standard_normal(shape).astype(np.float32))
        return
    rows = (*shape[:-1], shape[-1] // block * size)
    data = random.integers(8, 60, rows, np.uint8)  # any two bytes are a normal, finite fp16 number
    writer.add_tensor(name, data, raw_dtype=kind)


def read_tensors(*paths: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of all tensors of a file, or of all parts of a set, as the package gguf reads them."""
    return {
        tensor.name: (
            tensor.tensor_type.name,
            tuple(int(size) for size in reversed(tensor.shape)),
            tensor.data.tobytes(),
        )
        for path in paths
        for tensor in GGUFReader(path).tensors
    }


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a file, as the package gguf reads it."""
    return {key: each.contents() for key, each in GGUFReader(path).fields.items() if not key.startswith("GGUF.")}
