"""Donors with LoRAs: every stack of them is that of the same donors with the LoRAs merged beforehand in float64."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stacker.checkpoint import verify
from stacker.compose import load
from stacker.core.values.expression import LowRank
from stacker.errors import SpecError, StackerError
from stacker.ops.shared.op import Base
from stacker.ops.table import OPS
from tests.adapters import change_of, write_lora
from tests.donors import write_llama

HIDDEN, FFN, LAYERS, SCALING = 16, 32, 4, 2.0
SHAPES = {
    f"model.layers.{layer}.{module}": shape
    for layer in (0, 1, 3)
    for module, shape in (("self_attn.q_proj", (HIDDEN, HIDDEN)), ("mlp.down_proj", (HIDDEN, FFN)))
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two fp32 donors `a` and `b`, two LoRAs of a, and `merged`: a with the first LoRA merged in fp64."""
    for seed, name in enumerate("ab"):
        write_llama(tmp_path / name, layers=LAYERS, dtype="F32", seed=seed)
    first = write_lora(tmp_path / "first", SHAPES)
    write_lora(tmp_path / "second", SHAPES, rank=3, seed=7, lora_alpha=3)
    merge(tmp_path / "a", tmp_path / "merged", [(first, SCALING)])
    return tmp_path


def merge(donor: Path, out: Path, loras: list[tuple[dict[str, Any], float]]) -> None:
    """Write a copy of a donor with LoRAs merged, each given as (tensors, factor of B·A)."""
    shutil.copytree(donor, out)
    tensors = load_file(donor / "model.safetensors")
    for module in SHAPES:
        weight = tensors[f"{module}.weight"].double().numpy()
        total = weight + sum(change_of(lora, module, scaling) for lora, scaling in loras)
        tensors[f"{module}.weight"] = torch.from_numpy(total.astype(np.float32))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def built(home: Path, name: str, donors: dict[str, Any], stack: list[Any], **more: Any) -> dict[str, torch.Tensor]:
    """The tensors of a stack of these donors."""
    path = home / f"{name}.yml"
    path.write_text(json.dumps({"stacker": 1, "name": name, "donors": donors, "stack": stack, **more}))
    load(path).build(home / f"out-{name}")
    return load_file(home / f"out-{name}" / "model.safetensors")


def compare(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], *, share: float = 0.0) -> None:
    """Assert that tensors are equal to a few roundings, except a share of them at which ops choose between elements."""
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        off = (tensor - wanted[name]).abs() > 1e-6 * wanted[name].abs().clamp_min(0.1)
        assert float(off.double().mean()) <= share, name


ADAPTED = {"source": "./a", "adapters": ["./first"]}
STACKS: dict[str, list[Any]] = {
    "slices": ["x[0:3]", "b[1:3]", "x[2:4]"],
    "scaled": [{"slice": "x[0:2]", "scale": {"attn.q": 0.5, "mlp.down": 0.25}}, "x[2:4]"],
    "hop": ["x[0:2]", {"slice": "x[1:4]", "hop": 0.75}],
    "crossfade": [{"crossfade": ["x[0:3]", "b[1:4]"], "over": 2, "op": "linear"}],
    "repeat": [{"repeat": "x[0:2]", "times": 2, "scale": {"attn.q": 0.5}}, "x[2:4]"],
    "twice": [{"blend": ["x[0:2]", "x[1:3]"], "op": "slerp", "t": 0.3}],
}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_stack(home: Path, stack: list[Any]) -> None:
    """Slices, factors, hops, crossfades and repeats of an adapted donor."""
    found = built(home, "adapted", {"x": ADAPTED, "b": "./b"}, stack)
    compare(found, built(home, "merged", {"x": "./merged", "b": "./b"}, stack))


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_op(home: Path, op: Any) -> None:
    """Every op blends adapted donors as it blends merged ones; rank-based choices may fall differently at ties."""
    count = op.arity[1] or 2
    values = {"slerp": {"t": 0.3}, "nearswap": {"t": 0.1}, "sce": {"select_topk": 0.4}}.get(op.name, {})
    blend: dict[str, Any] = {"blend": ["x", "b"][:count], "op": op.name, **values}
    if op.base is not Base.NONE:
        blend["base"] = "a"
    donors = {"b": "./b", "a": "./a"} if "base" in blend else {"b": "./b"} if count > 1 else {}
    ends = {"embed": "x", "head": "x"}
    found = built(home, "adapted", {"x": ADAPTED, **donors}, [blend], **ends)
    compare(found, built(home, "merged", {"x": "./merged", **donors}, [blend], **ends), share=0.02)


def test_tensors_without_a_change_are_moved(home: Path) -> None:
    """Only the tensors of the LoRA are computed; all others are copied as bytes."""
    path = home / "s.yml"
    path.write_text(json.dumps({"stacker": 1, "donors": {"x": ADAPTED}, "stack": ["x"]}))
    stack = load(path)
    computed = [step.tensor.name for step in stack.plan().steps if isinstance(step.expression, LowRank)]
    assert computed == [f"{module}.weight" for module in SHAPES]
    report = stack.build(home / "out").report
    assert report.computed == sum(4 * rows * width for rows, width in SHAPES.values())


def test_several_adapters_with_weights(home: Path) -> None:
    """Changes of several LoRAs are added, each times its weight."""
    first, second = (load_file(home / name / "adapter_model.safetensors") for name in ("first", "second"))
    plain = [{k.removeprefix("base_model.model."): v.numpy() for k, v in each.items()} for each in (first, second)]
    merge(home / "a", home / "both", [(plain[0], 0.7 * SCALING), (plain[1], -0.5)])
    adapters = [{"source": "./first", "weight": 0.7}, {"source": "./second", "weight": -0.5}]
    found = built(home, "adapted", {"x": {"source": "./a", "adapters": adapters}}, ["x"])
    compare(found, built(home, "wanted", {"x": "./both"}, ["x"]))


def test_nested_stacks(home: Path) -> None:
    """An adapted donor inside a stack that is a donor, and an adapter on a stack."""
    for name, donor in (("inner", ADAPTED), ("plain", "./merged")):
        text = {"stacker": 1, "name": name, "donors": {"x": donor}, "stack": ["x[0:2]", "x[1:4]"]}
        (home / f"{name}.yml").write_text(json.dumps(text))
    stack = [{"blend": ["s[0:2]", "b[0:2]"], "op": "linear"}, "s[2:5]"]
    found = built(home, "outer", {"s": {"stack": "inner.yml"}, "b": "./b"}, stack)
    compare(found, built(home, "wanted", {"s": {"stack": "plain.yml"}, "b": "./b"}, stack))
    (home / "bare.yml").write_text(json.dumps({"stacker": 1, "donors": {"a": "./a"}, "stack": ["a"]}))
    found = built(home, "onto", {"s": {"stack": "bare.yml", "adapters": ["./first"]}}, ["s"])
    compare(found, built(home, "same", {"s": "./merged"}, ["s"]))


def test_mergekit_references(home: Path) -> None:
    """`model+lora`, and `lora` beside `model`, mean the same as `adapters`."""
    wanted = built(home, "native", {"x": ADAPTED}, ["x[0:3]"])
    for number, model in enumerate(("./a+./first", {"model": "./a", "lora": "./first"})):
        path = home / f"mergekit-{number}.yml"
        source = {"model": model, "layer_range": [0, 3]}
        path.write_text(json.dumps({"merge_method": "passthrough", "slices": [{"sources": [source]}]}))
        load(path).build(home / f"out-{number}")
        compare(load_file(home / f"out-{number}" / "model.safetensors"), wanted)


def test_the_plan_knows_the_adapters(home: Path) -> None:
    """Another LoRA is another plan; the lock names its file, and `verify` reads it from there."""
    built(home, "s", {"x": ADAPTED}, ["x"])
    lock = json.loads((home / "out-s" / "stacker.lock.json").read_text())
    assert [donor["name"] for donor in lock["plan"]["donors"]] == ["x+first", "x"]
    assert not verify(home / "out-s").problems
    before = load(home / "s.yml").plan().id
    write_lora(home / "first", SHAPES, rank=5)
    assert load(home / "s.yml").plan().id != before
    with pytest.raises(StackerError, match=r"'x\+first' at .* is not the one that was used"):
        verify(home / "out-s")


def test_live(home: Path) -> None:
    """A live stack of an adapted donor computes what the built stack computes."""
    from tests.live.lives import built as load_built

    path = home / "s.yml"
    path.write_text(json.dumps({"stacker": 1, "donors": {"x": ADAPTED, "b": "./b"}, "stack": ["x[0:3]", "b[1:3]"]}))
    stack, tokens = load(path), torch.tensor([[1, 5, 9, 3]])
    with torch.no_grad():
        live = stack.live(dtype="float32")(tokens).logits
        torch.testing.assert_close(live, load_built(stack, home / "out")(tokens).logits, rtol=1e-5, atol=1e-5)


def test_memory_of_factors_is_in_the_plan(home: Path) -> None:
    """A limit that leaves no room for one worker is refused before the build."""
    from stacker.run.building import BuildOptions

    path = home / "s.yml"
    path.write_text(json.dumps({"stacker": 1, "donors": {"x": ADAPTED}, "stack": ["x"]}))
    with pytest.raises(SpecError, match="MB of memory are too few"):
        load(path).build(home / "out", BuildOptions(max_memory=60_000_000))
