"""Tiny donors on disk, without torch: config.json and safetensors files of random, finite, small values.

The files are written from the definition of the format, without stacker's own code, so that its readers are tested.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Tensors to write: from each name to (dtype as in a safetensors header, shape)."""

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1}
_FLOATS = {
    "F64": (0x803FFFFFFFFFFFFF, 0x3F80000000000000),
    "F32": (0x81FFFFFF, 0x3C000000),
    "F16": (0x8FFF, 0x2000),
    "BF16": (0x81FF, 0x3C00),
}
"""For each float dtype, the bits kept and the bits set in a random element.

The results have either sign and magnitudes between 2**-7 and 2**-3, and are never NaN.
"""
_CONFIG_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def random_bytes(dtype: str, elements: int, source: random.Random) -> bytes:
    """The bytes of `elements` random values of a dtype."""
    size = _BYTES[dtype]
    drawn = source.randbytes(elements * size)
    if dtype not in _FLOATS or not elements:
        return drawn
    keep, put = (int.from_bytes(mask.to_bytes(size, "little") * elements, "little") for mask in _FLOATS[dtype])
    return (int.from_bytes(drawn, "little") & keep | put).to_bytes(len(drawn), "little")


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """Write a safetensors file of tensors (dtype, shape and bytes by name) in the given order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))


def write_donor(folder: Path, config: Mapping[str, Any], tensors: Tensors, *, seed: int = 0, shards: int = 1) -> Path:
    """Write a donor with this config and these tensors; with several `shards`, also an index."""
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)
    filled = {
        name: (dtype, shape, random_bytes(dtype, math.prod(shape), source)) for name, (dtype, shape) in tensors.items()
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": False}))
    names = ["model.safetensors"]
    if shards > 1:
        names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
        _write_index(folder, names, filled)
    for name, share in zip(names, _shares(list(filled), shards), strict=True):
        write_safetensors(folder / name, {tensor: filled[tensor] for tensor in share})
    return folder


def _shares(names: Sequence[str], shards: int) -> list[Sequence[str]]:
    size = math.ceil(len(names) / shards)
    return [names[number * size : (number + 1) * size] for number in range(shards)]


def _write_index(folder: Path, files: Sequence[str], tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    places = {
        tensor: file for file, share in zip(files, _shares(list(tensors), len(files)), strict=True) for tensor in share
    }
    total = sum(len(data) for _, _, data in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def llama_tensors(
    *, layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int, dtype: str, tied: bool
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a llama of this shape, in model order."""
    kv = hidden // heads * kv_heads
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (hidden, hidden),
        "self_attn.k_proj.weight": (kv, hidden),
        "self_attn.v_proj.weight": (kv, hidden),
        "self_attn.o_proj.weight": (hidden, hidden),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for index in range(layers):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    shapes["model.norm.weight"] = (hidden,)
    if not tied:
        shapes["lm_head.weight"] = (vocab, hidden)
    return {name: (dtype, shape) for name, shape in shapes.items()}


def write_llama(
    folder: Path,
    *,
    layers: int = 6,
    hidden: int = 16,
    heads: int = 2,
    kv_heads: int = 2,
    ffn: int = 32,
    vocab: int = 24,
    dtype: str = "BF16",
    seed: int = 0,
    tied: bool = False,
    shards: int = 1,
    drop: Iterable[str] = (),
    extra: Tensors | None = None,
    **config: Any,
) -> Path:
    """Write a tiny llama. `config` adds or replaces entries of config.json; `drop` removes and `extra` adds tensors."""
    sizes = {"layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads, "ffn": ffn, "vocab": vocab}
    tensors = llama_tensors(**sizes, dtype=dtype, tied=tied)
    for name in drop:
        del tensors[name]
    entries = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "max_position_embeddings": 64,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "torch_dtype": _CONFIG_DTYPES.get(dtype, dtype),
        "vocab_size": vocab,
    }
    return write_donor(folder, entries | config, tensors | dict(extra or {}), seed=seed, shards=shards)
