"""Live stacks of tiny donors, and the same stacks as built and loaded by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from stacker.compose import Stack, load
from tests.donors import write_llama
from tests.families.cases import Auto
from tests.families.oracle import load as load_built

SHARED: list[Any] = ["a[0:4]", "b[2:5]", "a[2:6]"]
"""A stack in which the layers 2 and 3 of donor a occur twice."""


def write_donors(home: Path, **config: Any) -> Path:
    """Two tiny donors, `a` and `b`, in a folder."""
    for seed, name in enumerate("ab"):
        write_llama(home / name, seed=seed, **config)
    return home


def write_spec(home: Path, items: list[Any], name: str = "spec", **more: Any) -> Path:
    """A spec file over the donors of a folder."""
    path = home / f"{name}.yml"
    entries = {"stacker": 1, "name": name, "donors": {"a": "./a", "b": "./b"}, "stack": items, **more}
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def stack_of(home: Path, items: list[Any], name: str = "spec", **more: Any) -> Stack:
    """The stack of such a spec."""
    return load(write_spec(home, items, name, **more))


def built(stack: Stack, out: Path, auto: Auto = AutoModelForCausalLM) -> Any:
    """The stack as transformers loads it after a build, in fp32."""
    stack.build(out)
    return load_built(out, auto)


def aligned(model: Any) -> Any:
    """A model whose parameters are moved to memory of torch's alignment, so that sums are taken alike."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    return model


def distinct_bytes(model: Any) -> int:
    """The bytes of a model's parameters, shared ones counted once."""
    return sum(parameter.nbytes for parameter in model.parameters())
