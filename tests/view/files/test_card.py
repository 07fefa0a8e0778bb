"""The model card: metadata that huggingface_hub reads, no path of the machine, and no markup from names and values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.utils._validators import validate_repo_id
from markdown_it import MarkdownIt
from markdown_it.token import Token

from stacker.compose import load
from stacker.errors import Problem, Severity
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


def test_tags_say_what_was_made() -> None:
    """A blend that leaves all layers at their places is no frankenmerge; the ops that blend layers are tags."""
    blend = "stacker: 1\ndonors:\n  a: {source: some/a, like: mistral-7b}\n  b: {source: some/b, like: mistral-7b}\n"
    whole = scene_of(f"{blend}name: whole\nstack:\n  - blend: [a, b]\n    op: slerp\n    t: 0.5\n")
    assert read_card(card_text(whole, blend)).tags == ["merge", "slerp", "stacker"]
    moved = scene_of(f"{blend}name: moved\nstack:\n  - blend: ['a[0:20]', 'b[8:28]']\n    op: slerp\n    t: 0.5\n")
    assert read_card(card_text(moved, blend)).tags == ["merge", "frankenmerge", "slerp", "stacker"]


def test_the_snippet_is_a_program() -> None:
    """The card's Python compiles, and the programs that compute the stack correctly are named."""
    text = card_text(scene_of(GOLIATH), GOLIATH)
    snippet = text.split("## Use it\n\n```python\n")[1].split("\n```")[0]
    compile(snippet, "card", "exec")
    assert "from_pretrained" in snippet
    assert "Right in transformers, llama.cpp" in text


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
    assert "from layers of `donor-a`" in text
    assert "`b`: the folder `donor-a`" in text
    assert "base_model" not in text
    assert (tmp_path / "out" / "depth-map.svg").read_text().startswith("<svg")


HOSTILE = "<img src=x onerror=y> [a](https://evil.example) ![b](https://evil.example) `c` | d\n\n# e\n```\n<b>f</b>"


def parsed(text: str) -> list[Token]:
    """The parts of a card as markdown-it sees them, without the metadata at its top."""
    body = text.split("---\n", 2)[2]
    blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    return [part for block in blocks for part in (block, *(block.children or []))]


def shape(parts: list[Token]) -> Counter[str]:
    """How many parts of each kind a card has that are not text or code."""
    plain = ("text", "text_special", "inline", "code_inline")
    return Counter(part.type for part in parts if part.type not in plain)


def test_hostile_names_and_values_stay_text() -> None:
    """Names, config values, lints and the spec add no HTML, links, images, headings or table cells to the card."""
    scene = scene_of(BLENDED)
    lint = Problem(f"lint {HOSTILE}", HOSTILE, severity=Severity.WARNING)
    usual = replace(scene, lints=(Problem("lint", "hint", severity=Severity.WARNING),))
    config = {"license": HOSTILE, "model_type": HOSTILE, "rope_scaling": HOSTILE}
    family = replace(scene.family, name=HOSTILE)
    donors = {
        name: replace(donor, name=f"{name} {HOSTILE}", config=dict(donor.config) | config, architecture=family)
        for name, donor in scene.donors.items()
    }
    hostile = replace(scene, name=f"n {HOSTILE}", donors=donors, lints=(lint,))
    text = card_text(hostile, f"{BLENDED}# {HOSTILE}\n# ~~~\n")
    assert shape(parsed(text)) == shape(parsed(card_text(usual, BLENDED)))
    assert not [part for part in parsed(text) if part.type.startswith("html")]
    assert read_card(text).license is None


@pytest.mark.parametrize("licence", [["mit"], [["mit"]], {"name": "mit"}, 1, True, "<b>", "a\nb", "x" * 100])
def test_a_licence_that_is_no_name_is_left_out(licence: Any) -> None:
    """Whatever a config has there."""
    assert read_card(card_text(from_hub(scene_of(GOLIATH), license=licence), GOLIATH)).license is None
