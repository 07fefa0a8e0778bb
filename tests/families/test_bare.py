"""Configs that leave out what follows the layers: stacks of such donors are right, though nothing there says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.families.bare import bare_case, bare_data, bare_families
from tests.families.oracle import write_donor
from tests.families.tiny import decoder_families
from tests.families.trial import RIGHT, try_family


def test_bare_configs_say_less(tmp_path: Path) -> None:
    """What transformers finds by itself is not in such a config, and what older styles say instead is."""
    config = json.loads((write_donor(bare_case("qwen2"), tmp_path / "a", 0) / "config.json").read_text())
    assert "layer_types" not in config
    assert config["max_window_layers"] == bare_data()["families"]["qwen2"]["max_window_layers"]
    assert config["torch_dtype"] == "float32"


def test_bare_families_are_families() -> None:
    """Each is one that the table has."""
    assert set(bare_families()) <= set(decoder_families())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", bare_families())
def test_stacks_of_bare_donors_are_right(name: str, tmp_path: Path) -> None:
    """No stack is wrong, and only those are refused that no config can say."""
    words = try_family(bare_case(name), tmp_path)
    kinds = {word.partition(":")[0] for word in words.values()}
    assert kinds <= ({RIGHT, "refused"} if name in bare_data()["refused"] else {RIGHT}), words
