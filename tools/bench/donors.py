"""Donors for benchmarks: Llama-shaped checkpoints of any size, with random weights or as sparse files.

Run as a program (`python -m tools.bench.donors`), so that its memory is not added to what is measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.bench.measure import run


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a Llama-like model; `shard` is the most bytes of tensors in one file."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int
    shard: int = 10_000_000_000


SMALL = Shape(layers=8, hidden=512, inner=1408, heads=8, kv_heads=4, vocabulary=4096)
"""56 MB in bf16, for benchmarks that do not measure speed."""
MIDDLE = Shape(layers=24, hidden=2048, inner=5632, heads=16, kv_heads=16, vocabulary=32000)
"""2.7 GB in bf16."""
LARGE = Shape(layers=40, hidden=5120, inner=13824, heads=40, kv_heads=40, vocabulary=32000)
"""26 GB in bf16: a Llama of 13B parameters."""
LLAMA_70B = Shape(layers=80, hidden=8192, inner=28672, heads=64, kv_heads=8, vocabulary=32000)
"""138 GB in bf16, in shards of 10 GB as it was published."""
TINY = Shape(layers=60, hidden=128, inner=256, heads=4, kv_heads=4, vocabulary=256)
LLAMA_405B = Shape(layers=126, hidden=16384, inner=53248, heads=128, kv_heads=16, vocabulary=128256)
"""812 GB in bf16, in shards of 10 GB."""


def make_donor(folder: Path, shape: Shape, seed: int | None) -> Path:
    """Write a donor with random weights, or with sparse files if `seed` is None; an existing donor is kept."""
    if not (folder / "config.json").exists():
        run(sys.executable, "-m", "tools.bench.donors", folder, json.dumps(asdict(shape)), str(seed))
    return folder


def config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    }


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor's name and shape, in model order."""
    keys = shape.hidden // shape.heads * shape.kv_heads
    layer = {
        "input_layernorm": (shape.hidden,),
        "mlp.down_proj": (shape.hidden, shape.inner),
        "mlp.gate_proj": (shape.inner, shape.hidden),
        "mlp.up_proj": (shape.inner, shape.hidden),
        "post_attention_layernorm": (shape.hidden,),
        "self_attn.k_proj": (keys, shape.hidden),
        "self_attn.o_proj": (shape.hidden, shape.hidden),
        "self_attn.q_proj": (shape.hidden, shape.hidden),
        "self_attn.v_proj": (keys, shape.hidden),
    }
    yield "model.embed_tokens.weight", (shape.vocabulary, shape.hidden)
    for index in range(shape.layers):
        yield from ((f"model.layers.{index}.{name}.weight", size) for name, size in layer.items())
    yield "model.norm.weight", (shape.hidden,)
    yield "lm_head.weight", (shape.vocabulary, shape.hidden)


def nbytes(size: Sequence[int]) -> int:
    """How many bytes a bf16 tensor of this shape has."""
    total = 2
    for length in size:
        total *= length
    return total


def shards(shape: Shape) -> list[list[tuple[str, tuple[int, ...]]]]:
    """The names and shapes of the tensors in each file; a file is filled up to the shard size."""
    files: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    room = shape.shard
    for name, size in tensors(shape):
        if files[-1] and nbytes(size) > room:
            files.append([])
            room = shape.shard
        files[-1].append((name, size))
        room -= nbytes(size)
    return files


def header(listed: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[bytes, int]:
    """The header of a safetensors file with its length and padding, and how many bytes of tensors follow it."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, size in listed:
        entries[name] = {"dtype": "BF16", "shape": size, "data_offsets": [end, end + nbytes(size)]}
        end += nbytes(size)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, end


def write(folder: Path, shape: Shape, seed: int | None) -> None:
    """Write the whole folder; config.json comes last, so a folder that has one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    files = shards(shape)
    places = {}
    for number, listed in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        places.update({tensor: name for tensor, _ in listed})
        _write_file(folder / name, listed, None if seed is None else seed * 1000 + number)
    index = {"metadata": {"total_size": sum(nbytes(size) for _, size in tensors(shape))}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config(shape), indent=2))


def _write_file(path: Path, listed: Sequence[tuple[str, tuple[int, ...]]], seed: int | None) -> None:
    head, size = header(listed)
    with path.open("wb") as file:
        file.write(head)
        if seed is None:
            file.truncate(len(head) + size)
        else:
            file.writelines(_noise(size, seed))


def _noise(size: int, seed: int) -> Iterator[bytes]:
    """Random finite bf16 numbers of both signs with magnitudes of 2**-7 to 2**-3, in pieces of 64 MB."""
    import numpy as np

    source = np.random.default_rng(seed)
    for start in range(0, size, 1 << 26):
        words = np.frombuffer(source.bytes(min(1 << 26, size - start)), dtype="<u2")
        yield ((words & 0x81FF) | 0x3C00).astype("<u2").tobytes()


if __name__ == "__main__":
    write(Path(sys.argv[1]), Shape(**json.loads(sys.argv[2])), json.loads(sys.argv[3].replace("None", "null")))
