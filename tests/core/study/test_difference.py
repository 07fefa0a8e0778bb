"""Differences between two donors: config entries and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stacker.core.study.difference import ABSENT, Difference, find_difference, join_layers
from stacker.io.donors.reader import read_donor
from stacker.spec.language.value_grammar import parse_source
from tests.donors import write_llama


def between(folder: Path, one: dict[str, Any], other: dict[str, Any]) -> Difference:
    """The difference of two tiny donors."""
    write_llama(folder / "one", **one)
    write_llama(folder / "other", **other)
    return find_difference(*(read_donor(parse_source(name, f"./{name}", None), folder) for name in ("one", "other")))


def test_weights_are_not_compared(tmp_path: Path) -> None:
    """Donors with other weights and shards, but the same tensors, do not differ."""
    found = between(tmp_path, {"seed": 1}, {"seed": 2, "shards": 3})
    assert found.is_empty
    assert found.alike == 6 * 9 + 3


def test_config_entries(tmp_path: Path) -> None:
    """Changed, added and removed entries; nested ones have dotted names."""
    one = {"rope_scaling": {"type": "linear", "factor": 2.0}, "attention_bias": False}
    found = between(tmp_path, one, {"rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 5e5})
    expected = {("rope_scaling.factor", 2.0, 4.0), ("attention_bias", False, ABSENT), ("rope_theta", 1e4, 5e5)}
    assert set(found.config) == expected


def test_tensors(tmp_path: Path) -> None:
    """Tensors of one donor only, and tensors of another shape."""
    found = between(tmp_path, {"layers": 2}, {"layers": 3, "vocab": 32, "tied": True})
    assert [spec.name for spec in found.only_one] == ["lm_head.weight"]
    assert len(found.only_other) == 9
    (change,) = found.changed
    assert (change.one.shape, change.other.shape) == ((24, 16), (32, 16))


def test_element_types(tmp_path: Path) -> None:
    """The same shape in another type is a change."""
    found = between(tmp_path, {"layers": 1}, {"layers": 1, "dtype": "F32"})
    assert (len(found.changed), found.alike) == (12, 0)


def test_names_are_joined_over_layers() -> None:
    """Tensors that differ only in the layer get one name; those outside the layers keep theirs."""
    names = [f"model.layers.{n}.mlp.up_proj.weight" for n in (0, 1, 2, 7)]
    shown = join_layers([*names, "lm_head.weight"], "model.layers.{i}.")
    assert shown == {"model.layers.{i}.mlp.up_proj.weight": "0–2, 7", "lm_head.weight": ""}
