"""Stacks of donors whose configs leave out per-layer entries are right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.families.bare import bare_case, bare_data, bare_families, deep_bare_case
from tests.families.oracle import write_donor
from tests.families.tiny import decoder_families
from tests.families.trial import DEEP_TRIALS, RIGHT, try_family


def test_bare_configs_say_less(tmp_path: Path) -> None:
    """Such a config lacks the entries that transformers derives, and has those of older styles instead."""
    config = json.loads((write_donor(bare_case("qwen2"), tmp_path / "a", 0) / "config.json").read_text())
    assert "layer_types" not in config
    assert config["max_window_layers"] == bare_data()["families"]["qwen2"]["max_window_layers"]
    assert config["torch_dtype"] == "float32"


def test_bare_families_are_families() -> None:
    """Each of these families is in the table."""
    assert set(bare_families()) <= set(decoder_families())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", bare_families())
def test_stacks_of_bare_donors_are_right(name: str, tmp_path: Path) -> None:
    """No stack is wrong, and only those are refused that no config can express."""
    words = try_family(bare_case(name), tmp_path)
    kinds = {word.partition(":")[0] for word in words.values()}
    assert kinds <= ({RIGHT, "refused"} if name in bare_data()["refused"] else {RIGHT}), words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", bare_families())
def test_stacks_of_deep_bare_donors_are_right(name: str, tmp_path: Path) -> None:
    """The same holds for donors of 12 layers."""
    trials = {key: DEEP_TRIALS[key] for key in ("cross", "order")}
    words = try_family(deep_bare_case(name), tmp_path, trials)
    kinds = {word.partition(":")[0] for word in words.values()}
    assert kinds <= ({RIGHT, "refused"} if name in bare_data()["refused_deep"] else {RIGHT}), words
