"""Where output tensors lie."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from stacker.core.plan import layout as layout_module
from stacker.core.plan.layout import lay_out
from stacker.core.plan.plan import Shard, Step
from stacker.core.plan.shard_layout import Layout
from stacker.core.plan.tensors import plan_tensors
from stacker.core.values.donor import Donor
from stacker.core.values.expression import Copy
from tests.core.stacks import graph_of, make_donor


def laid(
    stack: str, layout: Layout, donors: dict[str, Donor] | None = None
) -> tuple[tuple[Step, ...], tuple[Shard, ...]]:
    """Steps and shards of a stack."""
    known = donors or {name: make_donor(name) for name in "ab"}
    return lay_out(plan_tensors(graph_of(stack, known), known, None).tensors, known, layout)


@given(st.integers(1, 20_000))
def test_every_shard_is_a_safetensors_file(size: int) -> None:
    """The safetensors library reads each header over a file of the planned size, with the planned tensors in it."""
    steps, shards = laid(" - a[0:4]\n - b[2:6]", Layout(size))
    for number, shard in enumerate(shards):
        inside = {step.tensor.name for step in steps if step.shard == number}
        read = load(shard.header + bytes(shard.size - len(shard.header)))
        assert read.keys() == inside
        assert len(shard.header) % 8 == 0


@given(st.integers(1, 20_000))
def test_no_shard_is_larger_than_asked_unless_one_tensor_is(size: int) -> None:
    """A shard holds at most `shard_size` bytes of tensors; a tensor is never split."""
    steps, shards = laid(" - a[0:4]\n - b[2:6]", Layout(size))
    for number, shard in enumerate(shards):
        count = sum(step.shard == number for step in steps)
        assert shard.size - len(shard.header) <= size or count == 1


def test_tensors_fill_their_shard_without_gaps() -> None:
    """Each byte after the header belongs to exactly one tensor."""
    steps, (shard,) = laid(" - a", Layout())
    position = len(shard.header)
    for step in sorted(steps, key=lambda step: step.offset):
        assert step.offset == position
        position += step.tensor.nbytes
    assert position == shard.size


def test_a_slice_lies_as_in_its_donor_file() -> None:
    """What was contiguous in the donor is contiguous in the output, so that it moves as one run."""
    donors = {"a": make_donor("a")}
    steps, _ = laid(" - a[1:5]", Layout(), donors)
    layers = [step for step in steps if "layers" in step.tensor.name]
    offsets = [step.offset for step in layers]
    assert offsets == sorted(offsets)


def test_a_layer_used_twice_follows_all_first_uses() -> None:
    """Second uses are kept together behind the first, instead of breaking their run."""
    donors = {"a": make_donor("a")}
    steps, _ = laid(" - a[0:4]\n - a[2:6]", Layout(), donors)
    at = {step.tensor.name: step.offset for step in steps}
    suffix = "mlp.up_proj.weight"
    assert at[f"model.layers.3.{suffix}"] < at[f"model.layers.6.{suffix}"] < at[f"model.layers.4.{suffix}"]


def test_one_shard_has_no_number() -> None:
    """A single file is called as transformers calls it."""
    _, shards = laid(" - a", Layout())
    assert [shard.name for shard in shards] == ["model.safetensors"]
    _, many = laid(" - a", Layout(4000))
    assert many[0].name == f"model-00001-of-{len(many):05d}.safetensors"


def test_clone_layout_keeps_offsets_modulo_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run worth it differs from its source by a multiple of the block, so that its blocks can be shared."""
    monkeypatch.setattr(layout_module, "WORTH_A_SHARD", 1)
    donors = {name: make_donor(name) for name in "ab"}
    steps, shards = laid(" - a[0:3]\n - b[2:6]\n - a[1:2]", Layout(block=512), donors)
    for step in steps:
        assert isinstance(step.expression, Copy)
        name = step.expression.tensor
        extent = donors[name.donor].tensors[name.name].extent
        assert extent is not None
        assert (step.offset - extent.offset) % 512 == 0
    for shard in shards:
        load(shard.header + bytes(shard.size - len(shard.header)))


def test_clone_layout_does_not_split_for_small_runs() -> None:
    """Runs too short to be worth a file are copied in their place."""
    _, shards = laid(" - a[0:3]\n - b[2:6]\n - a[1:2]", Layout(block=4096))
    assert len(shards) == 1


def test_headers_say_their_format() -> None:
    """Loaders ask for `format: pt`."""
    _, (shard,) = laid(" - a", Layout())
    assert json.loads(shard.header[8:])["__metadata__"] == {"format": "pt"}
