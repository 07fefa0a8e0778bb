"""Tensors outside the layers that belong to a layer: recognised by name, and renamed for a new index."""

from __future__ import annotations

import pytest

from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.files.parser import parse_architecture
from stacker.arch.layer_names import find_split_axis, find_table_name, format_tensor_name, match_outside_name
from stacker.arch.placement import list_expected_tensors, place_tensors
from stacker.tensors import Dtype, TensorSpec

PATTERNS = ("*per_layer.weight[:, {i}]", "*projection.weight[{i}]", "*attn_queries.{i-1}", "q.{i}.bias")
TEXT = """
family: tiny
model_types: [tiny]
depth: n
prefix: layers.{i}.
embed:
  table.weight: embed.other [4, n * 2]
layer:
  queries.{i-1}: attn.other [8 + i] if i > 0
apart: ["table.weight[:, {i}]", "queries.{i-1}"]
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("model.embed_per_layer.weight", (None, "model.embed_per_layer.weight[:, {i}]")),
        ("model.language_model.projection.weight", (None, "model.language_model.projection.weight[{i}]")),
        ("model.attn_queries.3", (4, "model.attn_queries.{i-1}")),
        ("q.12.bias", (12, "q.{i}.bias")),
        ("q.bias", None),
        ("model.attn_queries.x", None),
        ("model.embed_per_layer.bias", None),
    ],
)
def test_names(name: str, found: tuple[int | None, str] | None) -> None:
    """A name tells the layer of a tensor, or that each layer has a part of it."""
    assert match_outside_name(name, PATTERNS) == found


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        ("mlp.up.weight", "layers.5.mlp.up.weight"),
        ("x.attn_queries.{i-1}", "x.attn_queries.4"),
        ("q.{i}.bias", "q.5.bias"),
        ("table[:, {i}]", "table[:, 5]"),
        ("table[{i}]", "table[5]"),
    ],
)
def test_names_in_a_new_place(suffix: str, name: str) -> None:
    """A tensor gets its layer's new index, shifted if its family counts from another number."""
    assert format_tensor_name("layers.{i}.", 5, suffix) == name


def test_cuts() -> None:
    """Rows are split along the first dimension, columns along the second; other tensors are not split."""
    assert [find_split_axis(suffix) for suffix in ("t[:, {i}]", "t[{i}]", "t.{i}", "t")] == [1, 0, None, None]
    assert [find_table_name(suffix) for suffix in ("t[:, {i}]", "t[{i}]", "t")] == ["t", "t", "t"]


def test_a_family_that_has_such_tensors() -> None:
    """An architecture file lists these tensors, and its templates set their roles."""
    family: Architecture = parse_architecture(TEXT, "tiny.yaml")
    specs = [TensorSpec(name, Dtype.F32, (4, 6)) for name in ("layers.0.a", "table.weight", "queries.1", "queries.1.b")]
    placed = place_tensors(family, {"n": 3}, {spec.name: spec for spec in specs})
    assert (placed["table.weight"].part, placed["table.weight"].layer) == (Part.LAYER, None)
    assert placed["table.weight"].role == "embed.other"
    assert (placed["queries.1"].layer, placed["queries.1"].role) == (2, "attn.other")
    assert placed["queries.1.b"].part is not Part.LAYER
    promised = {spec.name: spec.shape for spec in list_expected_tensors(family, {"n": 3})}
    assert promised == {"table.weight": (4, 6), "queries.0": (9,), "queries.1": (10,)}
