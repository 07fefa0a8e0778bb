"""Stacks of wrappers process images as their layers do, and may take layers of plain language models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from stacker.compose import Stack, build
from stacker.compose import load as load_stack
from stacker.errors import Severity
from tests.families.cases import Case
from tests.families.oracle import load, logits_of, rearranged, write_donor
from tests.families.stacks import STACKS
from tests.families.wrappers import wrapper_case, wrapper_data

PICTURE = int(wrapper_data()["own"]["image_token_id"])
TOKENS = torch.tensor([[3, 17, PICTURE, PICTURE, PICTURE, PICTURE, 41, 5]])
PIXELS = torch.linspace(-1, 1, 3 * 16 * 16)


def _square() -> dict[str, torch.Tensor]:
    return {"pixel_values": PIXELS.reshape(1, 3, 16, 16)}


def _patches() -> dict[str, torch.Tensor]:
    """An image of four by four patches and two frames, four patches to a token."""
    return {
        "pixel_values": torch.linspace(-1, 1, 16 * 384).reshape(16, 384),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "mm_token_type_ids": (TOKENS == PICTURE).int(),
    }


SEEN: dict[str, Callable[[], dict[str, torch.Tensor]]] = {"llava": _square, "gemma3": _square, "qwen3_vl": _patches}


def seen_by(model: PreTrainedModel, picture: dict[str, torch.Tensor]) -> torch.Tensor:
    """The logits of a prompt with an image."""
    with torch.no_grad():
        logits: torch.Tensor = model(TOKENS, **picture).logits
    return logits


def stack_in(home: Path, case: Case, name: str) -> tuple[Stack, dict[str, PreTrainedModel]]:
    """A standard stack over two donors, and the donors as loaded by transformers."""
    models = {key: load(write_donor(case, home / key, seed), case.auto) for seed, key in enumerate("ab")}
    return load_stack(_spec(home, STACKS[name][0])), models


def _spec(home: Path, items: list[Any], *more: str) -> Path:
    path = home / "spec.yml"
    lines = ["stacker: 1", "name: test", "donors: {a: ./a, b: ./b}", f"stack: {items}", *more]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("name", SEEN)
def test_pictures_are_seen_as_by_the_layers_rearranged(name: str, tmp_path: Path) -> None:
    """With an image in the prompt the logits equal those of the layers rearranged, and differ from those without it."""
    case = wrapper_case(name)
    case = replace(case, lists=("layer_types",) if name == "gemma3" else ())
    stack, models = stack_in(tmp_path, case, "cross")
    build(stack, tmp_path / "out")
    built, expected = load(tmp_path / "out", case.auto), rearranged(case, models, STACKS["cross"][1])
    picture = SEEN[name]()
    assert torch.equal(seen_by(built, picture), seen_by(expected, picture))
    blank = picture | {"pixel_values": torch.zeros_like(picture["pixel_values"])}
    assert not torch.equal(seen_by(built, picture), seen_by(built, blank))


def test_pictures_that_come_in_by_layer_are_spoken_of(tmp_path: Path) -> None:
    """If image features enter layers other than the donor's first, a problem reports it."""
    stack, _ = stack_in(tmp_path, wrapper_case("qwen3_vl"), "self")
    said = [problem.message for problem in stack.problems if problem.severity is Severity.WARNING]
    assert not any("image features" in message for message in said)
    pruned = load_stack(_spec(tmp_path, ["a[0:1]", "a[2:6]"]))
    said = [problem.message for problem in pruned.problems if problem.severity is Severity.WARNING]
    assert any("image features" in message for message in said)


def test_layers_of_a_bare_language_model(tmp_path: Path) -> None:
    """A wrapper with layers of a text-only donor keeps its embedding, head and towers."""
    case = wrapper_case("llava")
    write_donor(case, tmp_path / "a", 0)
    text = {key: value for key, value in case.config["text_config"].items() if key != "model_type"}
    write_donor(Case("llama", text), tmp_path / "b", 1)
    build(load_stack(_spec(tmp_path, ["a[0:3]", "b[3:6]"], "head: a")), tmp_path / "out")
    built, wrapper, bare = (load(tmp_path / key, auto) for key, auto in _autos(case))
    layers = built.model.language_model.layers
    assert torch.equal(layers[2].mlp.up_proj.weight, wrapper.model.language_model.layers[2].mlp.up_proj.weight)
    assert torch.equal(layers[4].mlp.up_proj.weight, bare.model.layers[4].mlp.up_proj.weight)
    assert logits_of(built).isfinite().all()


def _autos(case: Case) -> list[tuple[str, Any]]:
    return [("out", case.auto), ("a", case.auto), ("b", Case("llama").auto)]
