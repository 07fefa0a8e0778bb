"""What is fuzzed: for each kind of input, functions that read it, and good inputs to begin with.

Only StackerErrors may come out of a target; any other exception is a defect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stacker.checkpoint import verify
from stacker.compose import build, load
from stacker.core.tokens.tokenizer_files import parse_tokens
from stacker.formats.adapters import CONFIG_FILE, WEIGHTS_FILE
from stacker.formats.ggml_types import GGML_TYPES
from stacker.formats.gguf import ALIGNMENT, encode_entry, encode_infos, encode_start
from stacker.formats.index import parse_index
from stacker.formats.safetensors import parse_header, parse_header_length
from stacker.io.donors.reader import read_donor
from stacker.io.output.journal import JOURNAL, read_journal
from stacker.measure.score_cache import ScoreCache
from stacker.search.log import read_log
from stacker.spec.language.slice_grammar import parse_slice
from stacker.spec.language.stack_spec import AdapterSpec, DonorSpec
from stacker.spec.parser import parse_spec
from stacker.tensors import TensorSpec
from tests.adapters import write_lora
from tests.donors import write_llama
from tests.tokenizers import write_tokenizer

SPEC = b"""\
stacker: 1
name: fuzzed
donors: {a: ./a, b: {source: org/b@main, like: llama-2-7b}}
stack:
  - a[0:4]
  - slice: b[1:3]
    scale: {attn.o: 0.5, "*down*": [0, 1]}
  - {blend: ["a[0:2]", "b[2:4]"], op: slerp, t: {attn: [0, 0.5], default: 0.5}}
  - {crossfade: ["a[0:4]", "b[2:6]"], over: 2, op: slerp}
  - {repeat: "a[1:2]", times: 3}
base: a
output: {dtype: bfloat16, shard_size: 5GB}
"""
MERGEKIT = b"""\
merge_method: slerp
base_model: org/a
slices:
  - sources:
      - {model: org/a, layer_range: [0, 4]}
      - {model: {model: {path: ./b, revision: main}}, layer_range: [2, 6]}
parameters:
  t: [{filter: self_attn, value: [0, 0.5, 1]}, {value: 0.5}]
dtype: bfloat16
tokenizer: {source: union, tokens: {x: {source: org/a}}}
"""
_LORA = {"model.layers.0.self_attn.q_proj": (16, 16), "model.layers.1.mlp.down_proj": (16, 32)}
"""The modules that the fuzzed adapter changes, with the shapes of their weights."""
SEARCH_LOG = b"""\
{"search": 1, "budget": 4}
{"trial": {"number": 0, "phase": "scan", "generation": 0, "seconds": 1.0, "measured": {"values": [1.5], "plan": "p"}, \
"proposal": {"point": {"w": 0.5}, "how": "start", "parents": []}}}
{"losses": {"part": "last", "name": "a", "plan": "p", "texts": ["t"], "losses": [[1.5, 2.0]]}}
"""
JOURNAL_LINES = b"""\
a5000372 {"pid":1}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of input: `seeds` are good inputs, and `read` reads an input as stacker does."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]


def make_targets(folder: Path) -> dict[str, Target]:
    """All targets by name; `folder` is an empty folder for their files."""
    donor = write_tokenizer(write_llama(folder / "a", layers=2, shards=2), ["x", "y"], ["z"])
    header = (donor / "model-00001-of-00002.safetensors").read_bytes()
    targets = (
        Target("header", (header,), _read_header),
        Target(
            "index", ((donor / "model.safetensors.index.json").read_bytes(),), lambda data: parse_index(data, "index")
        ),
        Target(
            "config", ((donor / "config.json").read_bytes(),), _in_file(donor / "config.json", lambda: _read(donor))
        ),
        Target("tokenizer", ((donor / "tokenizer.json").read_bytes(),), lambda data: parse_tokens(data, "tokenizer")),
        Target("spec", (SPEC,), lambda data: parse_spec(data, "spec.yml")),
        Target("mergekit", (MERGEKIT,), lambda data: parse_spec(data, "spec.yml")),
        Target(
            "slice", (b"a[0:16]", b"a[5]", b"a[8:]", b"a"), lambda data: parse_slice(data.decode("utf-8", "replace"))
        ),
        Target("gguf", (make_gguf(),), _in_file(folder / "fuzzed.gguf", lambda: _read(folder / "fuzzed.gguf"))),
        Target("journal", (JOURNAL_LINES,), _in_file(folder / JOURNAL, lambda: read_journal(folder))),
        Target("search-log", (SEARCH_LOG,), _in_file(folder / "log", lambda: read_log(folder / "log"))),
        _make_cache_target(ScoreCache(folder / "cache")),
        _make_lock_target(folder),
        _make_adapter_target(folder, "adapter", CONFIG_FILE),
        _make_adapter_target(folder, "adapter-tensors", WEIGHTS_FILE),
    )
    return {target.name: target for target in targets}


def make_gguf() -> bytes:
    """A tiny GGUF file of two layers with a tokenizer."""
    entries: list[tuple[str, str, object]] = [
        ("general.architecture", "str", "llama"),
        ("llama.block_count", "u32", 2),
        ("llama.embedding_length", "u32", 32),
        ("llama.attention.head_count", "[u32]", [2, 2]),
        ("tokenizer.ggml.tokens", "[str]", ["x"] * 80),
    ]
    names = ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.attn_q.weight", "output_norm.weight")
    tensors = [TensorSpec(name, GGML_TYPES[8], (80 if name == names[0] else 32, 32)) for name in names]
    header = encode_start(len(tensors), len(entries)) + b"".join(encode_entry(*entry) for entry in entries)
    header += encode_infos(tensors, ALIGNMENT)
    return header.ljust(-(-len(header) // ALIGNMENT) * ALIGNMENT, b"\0") + bytes(sum(each.nbytes for each in tensors))


def _read_header(data: bytes) -> object:
    length = parse_header_length(data[:64], len(data), "shard")
    return parse_header(data[: 8 + length] if length < 8 else data[:length], len(data), "shard")


def _read(donor: Path) -> object:
    return read_donor(DonorSpec("a", str(donor)), donor.parent)


def _make_adapter_target(folder: Path, name: str, file: str) -> Target:
    """A file of an adapter that is folded into a donor; both are in a folder that no other target damages."""
    donor = write_llama(folder / name / "a", layers=2)
    lora = folder / name / "lora"
    write_lora(lora, _LORA, rank_pattern={"down_proj": 4}, alpha_pattern={r".*\.q_proj": 2}, use_rslora=True)
    spec = DonorSpec("a", str(donor), adapters=(AdapterSpec(str(lora)),))
    return Target(name, ((lora / file).read_bytes(),), _in_file(lora / file, lambda: read_donor(spec, donor.parent)))


def _in_file(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """A function that writes its input to `path` before it calls `read`."""

    def write_and_read(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return write_and_read


def _make_cache_target(cache: ScoreCache) -> Target:
    """A stored score; a damaged one counts as none."""
    cache.write({}, {"losses": np.arange(8.0)})
    (path,) = (path for path in (cache.folder or Path()).rglob("*") if path.is_file())
    return Target("score-cache", (path.read_bytes(),), _in_file(path, lambda: cache.read({})))


def _make_lock_target(folder: Path) -> Target:
    """The lock file of an output that `verify` reads; its donor is a folder of its own, with an adapter."""
    write_llama(folder / "lock" / "a", layers=2)
    write_lora(folder / "lock" / "lora", _LORA)
    spec = "stacker: 1\ndonors: {a: {source: ./a, adapters: [./lora]}}\nstack: [a]\n"
    (folder / "lock" / "spec.yml").write_text(spec)
    out = folder / "lock" / "out"
    build(load(folder / "lock" / "spec.yml"), out)
    path = out / "stacker.lock.json"
    seed = json.dumps(json.loads(path.read_bytes()), separators=(",", ":")).encode()
    return Target("lock", (seed,), _in_file(path, lambda: verify(out)))
