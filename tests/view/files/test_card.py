"""The model card: metadata that huggingface_hub reads, and no path of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.utils._validators import validate_repo_id

from stacker.compose import load
from stacker.view.files.card import card_text
from stacker.view.scene.scene import Scene
from tests.donors import write_llama
from tests.view.scenes import BLENDED, GOLIATH, scene_of


def from_hub(scene: Scene, **config: Any) -> Scene:
    """The scene as if its donors came from the hub."""
    donors = {
        name: replace(donor, revision="0123456789abcdef", config=dict(donor.config) | config)
        for name, donor in scene.donors.items()
    }
    return replace(scene, donors=donors)


def read_card(text: str) -> ModelCardData:
    """The metadata as huggingface_hub parses it."""
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert isinstance(data, ModelCardData)
    return data


def test_the_hub_reads_its_metadata() -> None:
    """Donors from the hub are listed as base models with valid ids."""
    text = card_text(from_hub(scene_of(GOLIATH)), GOLIATH)
    data = read_card(text)
    assert data.base_model == ["Xwin-LM/Xwin-LM-70B-V0.1", "Sao10K/Euryale-1.3-L2-70B"]
    assert yaml.safe_load(data.to_yaml())["base_model_relation"] == "merge"
    assert data.tags == ["merge", "frankenmerge", "stacker"]
    assert data.library_name == "transformers"
    for name in data.base_model:
        validate_repo_id(name)


def test_metadata_survives_a_round_trip() -> None:
    """huggingface_hub writes the same metadata that it read."""
    text = card_text(from_hub(scene_of(GOLIATH)), GOLIATH)
    head = yaml.safe_load(text.split("---\n")[1])
    assert yaml.safe_load(read_card(text).to_yaml()) == head


@pytest.mark.parametrize(("licence", "said"), [("apache-2.0", "apache-2.0"), (None, None)], ids=["agreed", "unknown"])
def test_a_licence_is_named_where_all_agree(licence: str | None, said: str | None) -> None:
    """Without a common licence none is named, and the donors' licences apply."""
    config = {"license": licence} if licence else {}
    text = card_text(from_hub(scene_of(GOLIATH), **config), GOLIATH)
    assert read_card(text).license == said
    assert "The donors' licences apply" in text


def test_it_has_the_map_the_layers_and_the_spec() -> None:
    """The card holds the drawing, the map, the table of layers, the spec and the plan id."""
    scene = scene_of(GOLIATH)
    text = card_text(scene, GOLIATH, "depth-map.svg")
    assert "![where each layer comes from](depth-map.svg)" in text
    assert "| 16–31 | `euryale[8:24]` |  | -8 | xwin to euryale |" in text
    assert GOLIATH.rstrip() in text
    assert "117.75 B" in text
    assert scene.plan
    assert scene.plan.id in text
    assert "A xwin   B euryale" in text


def test_ops_and_their_parameters_are_listed() -> None:
    """The table of layers has the op of blended layers."""
    assert "slerp t attn [0, 0.5, 0.3, 0.7, 1], mlp [1, 0], else 0.5" in card_text(scene_of(BLENDED), BLENDED)


def test_no_folder_of_the_machine_is_written(tmp_path: Path) -> None:
    """Absolute paths in the spec are cut to their last name."""
    place = write_llama(tmp_path / "secret" / "donor-a")
    spec = f"stacker: 1\nname: local\ndonors:\n  a: {place}\n  b: {{source: '{place}'}}\nstack: ['a[0:4]', 'b[2:6]']\n"
    (tmp_path / "spec.yml").write_text(spec)
    stack = load(tmp_path / "spec.yml")
    stack.build(tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert str(tmp_path) not in text
    assert "secret" not in text
    assert "a: ./donor-a" in text
    assert "base_model" not in text
    assert (tmp_path / "out" / "depth-map.svg").read_text().startswith("<svg")
