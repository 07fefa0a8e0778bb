"""Every op in every position: in a crossfade of a donor with itself, on a nested stack, in embed and head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from stacker.compose import load
from stacker.ops.table import OPS
from tests.donors import write_llama
from tests.ops.any_op import parameters_of, reference

EMBED, HEAD, LAYER = "model.embed_tokens.weight", "lm_head.weight", "model.layers.{}.self_attn.o_proj.weight"
Tensors = dict[str, torch.Tensor]
PAIRED = [op for op in OPS if OPS[op].arity[1] is None or OPS[op].arity[1] == 2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three random fp32 donors, and a stack of two of them that holds a blend."""
    folder = tmp_path_factory.mktemp("places")
    for seed, name in enumerate(("a", "b", "base")):
        write_llama(folder / name, layers=3, dtype="F32")
        generator = torch.Generator().manual_seed(seed)
        path = folder / name / "model.safetensors"
        tensors = {
            key: torch.randn(each.shape, generator=generator) for key, each in safetensors.torch.load_file(path).items()
        }
        safetensors.torch.save_file(tensors, path, {"format": "pt"})
    inner = "stacker: 1\ndonors: {a: ./a, b: ./b}\nstack:\n - a[2]\n - {blend: ['a[0]', 'b[2]'], op: linear}\n - b[0]\n"
    (folder / "inner.yml").write_text(inner)
    return folder


def _built(home: Path, spec: dict[str, Any]) -> Tensors:
    donors = {"a": "./a", "b": "./b", "base": "./base", "inner": {"stack": "inner.yml"}}
    (home / "spec.yml").write_text(json.dumps({"stacker": 1, "donors": donors, "base": "base", **spec}))
    stack = load(home / "spec.yml")
    out = home / f"out-{stack.plan().id[:16]}"
    stack.build(out)
    return safetensors.torch.load_file(out / "model.safetensors")


def _donor(home: Path, name: str) -> Tensors:
    return safetensors.torch.load_file(home / name / "model.safetensors")


def _sources(op: str, *pieces: str) -> list[dict[str, Any]]:
    return [{"slice": piece, **each} for piece, each in zip(pieces, parameters_of(op)[1], strict=False)]


def _close(got: torch.Tensor, op: str, name: str, sources: list[torch.Tensor], base: torch.Tensor) -> None:
    exact = reference(op, name, sources[: OPS[op].arity[1]], base)
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", PAIRED)
def test_in_a_crossfade_of_one_donor(home: Path, op: str) -> None:
    """Layers 1 and 2 of one donor are blended over layer 1 of the base; the layers around them are copied."""
    item = {"crossfade": _sources(op, "a[0:2]", "a[2:3]"), "over": 1, "op": op, **parameters_of(op)[0]}
    made, a, base = _built(home, {"stack": [item], "embed": "a", "head": "a"}), _donor(home, "a"), _donor(home, "base")
    name = LAYER.format(1)
    assert made[LAYER.format(0)].equal(a[LAYER.format(0)])
    assert LAYER.format(2) not in made
    _close(made[name], op, name, [a[name], a[LAYER.format(2)]], base[name])


@pytest.mark.parametrize("op", OPS)
def test_on_a_nested_stack(home: Path, op: str) -> None:
    """A layer of a nested stack, copied or blended, is blended like a donor's layer."""
    own = parameters_of(op)[0]
    item = {"blend": _sources(op, "inner[0:2]", "b[0:2]"), "op": op, **own}
    made = _built(home, {"stack": [item], "embed": "a", "head": "a"})
    a, b, base = (_donor(home, name) for name in ("a", "b", "base"))
    inner = [a[LAYER.format(2)], (a[LAYER.format(0)] + b[LAYER.format(2)]) / 2]
    for number, layer in enumerate(inner):
        name = LAYER.format(number)
        _close(made[name], op, name, [layer, b[name]], base[name])


@pytest.mark.parametrize("op", OPS)
def test_in_embedding_and_head(home: Path, op: str) -> None:
    """Embedding and head are blended over the base's."""
    blend = {"blend": _sources(op, "a", "b"), "op": op, **parameters_of(op)[0]}
    made = _built(home, {"stack": ["a"], "embed": blend, "head": blend})
    a, b, base = (_donor(home, name) for name in ("a", "b", "base"))
    for name in (EMBED, HEAD):
        _close(made[name], op, name, [a[name], b[name]], base[name])
