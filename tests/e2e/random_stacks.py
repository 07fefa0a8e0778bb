"""Random specs of every kind of item, as plain data; tests/e2e/naive.py computes what they mean."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.donors import write_llama

DEPTH = 6
INNER_DEPTH = 4
"""How many layers of the inner spec are used; it has at least as many."""
DONORS = ("a", "b", "c")
_Maker = Callable[[random.Random, tuple[str, ...]], Any]
_HOPS = (0.5, 0.8, 1.25)
_ROLES = ("attn", "attn.o", "mlp.down", "mlp", "norm.input", "default")
_FACTORS = (0, 0.5, 1.5, -1, [0.25, 1], [1, 0.5, 2])


def write_donors(folder: Path) -> None:
    """Write the donors a and b in bf16, and c in fp32, in one, three and two shards."""
    shards = {"a": 1, "b": 3, "c": 2}
    for seed, name in enumerate(DONORS):
        dtype = "F32" if name == "c" else "BF16"
        write_llama(folder / name, layers=DEPTH, dtype=dtype, seed=seed, shards=shards[name])


def write_stack(folder: Path, seed: int) -> dict[str, Any]:
    """Write a random spec to `stack.yml`, and to `inner.yml` one whose result may be its donor `n`; returns it as data.

    In the returned data, the donor `n` is the inner spec's data.
    """
    source = random.Random(seed)
    inner = _make_spec(source, DONORS[: source.randint(1, 2)], "inner")
    names = (*DONORS[: source.randint(1, 3)], "n") if source.random() < 0.4 else DONORS[: source.randint(1, 3)]
    spec = _make_spec(source, names, f"random-{seed}")
    spec["output"] = {
        "dtype": source.choice(["keep", "keep", "bfloat16", "float32", "float16"]),
        "shard_size": source.choice([9_000, 20_000, 60_000, 10**9]),
    }
    for name, written in (("inner", inner), ("stack", spec)):
        (folder / f"{name}.yml").write_text(yaml.safe_dump(written, sort_keys=False))
    if "n" in names:
        spec = spec | {"donors": spec["donors"] | {"n": inner}}
    return spec


def _make_spec(source: random.Random, donors: tuple[str, ...], name: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "stacker": 1,
        "name": name,
        "donors": {each: {"stack": "inner.yml"} if each == "n" else f"./{each}" for each in donors},
        "stack": [_make_item(source, donors, nested=True) for _ in range(source.randint(1, 4))],
        "stacks": {"tail": [_make_item(source, donors, nested=False) for _ in range(source.randint(1, 2))]},
        "base": donors[0],
    }
    spec["stack"] += [f"{donors[0]}[0:{INNER_DEPTH}]", {"use": "tail"}]
    for part in ("embed", "head"):
        spec[part] = source.choice([source.choice(donors), {"blend": [donors[0], donors[-1]], "op": "linear"}])
    return spec


def _make_item(source: random.Random, donors: tuple[str, ...], *, nested: bool) -> Any:
    makers: list[_Maker] = [_make_slice, _make_scaled, _make_blend, _make_crossfade]
    item = source.choice([*makers, _make_repeat] if nested else makers)(source, donors)
    if isinstance(item, dict) and source.random() < 0.3:
        item["hop"] = source.choice(_HOPS)
    return item


def _make_slice(source: random.Random, donors: tuple[str, ...], length: int | None = None) -> str:
    length = length or source.randint(1, 4)
    donor = source.choice(donors)
    start = source.randint(0, (INNER_DEPTH if donor == "n" else DEPTH) - length)
    return f"{donor}[{start}:{start + length}]"


def _make_scaled(source: random.Random, donors: tuple[str, ...]) -> dict[str, Any]:
    return {"slice": _make_slice(source, donors), "scale": _make_scale(source)}


def _make_scale(source: random.Random) -> dict[str, Any]:
    return {role: source.choice(_FACTORS) for role in source.sample(_ROLES, 2)}


def _make_blend(source: random.Random, donors: tuple[str, ...]) -> dict[str, Any]:
    length = source.randint(1, 3)
    slices: list[Any] = [_make_slice(source, donors, length) for _ in range(2)]
    op = source.choice(["linear", "slerp", "task_arithmetic"])
    item: dict[str, Any] = {"blend": slices, "op": op}
    if op == "slerp":
        item["t"] = source.choice([0.3, [0, 1], {"attn": [0, 0.5, 1], "mlp": 0.2, "default": 0.5}])
    else:
        slices[0] = {"slice": slices[0], "weight": source.choice([0.5, 2, [0.25, 1]])}
        item["weight"] = source.choice([1, 0.7, {"attn.o": 0.2, "default": 1}])
    if op == "task_arithmetic":
        item["base"] = _make_slice(source, donors, length)
    return item


def _make_crossfade(source: random.Random, donors: tuple[str, ...]) -> dict[str, Any]:
    length = source.randint(2, 4)
    slices = [_make_slice(source, donors, length) for _ in range(2)]
    return {"crossfade": slices, "over": source.randint(1, length // 2), "op": source.choice(["linear", "slerp"])}


def _make_repeat(source: random.Random, donors: tuple[str, ...]) -> dict[str, Any]:
    inner = [_make_item(source, donors, nested=False) for _ in range(source.randint(1, 2))]
    return {"repeat": inner, "times": source.randint(1, 3), "scale": _make_scale(source)}
