"""Every recipe that ships, held against what was published of it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from stacker.cli.recipes import load_recipe
from stacker.io.files.spec_files import list_recipes
from stacker.spec.language.stack_spec import Dialect
from stacker.spec.parser import parse_spec

FIGURES = {
    "bigllama-3.1-1t": (315, 1018.9),
    "bigllama-3.1-681b": (210, 680.7),
    "bigmaid-20b": (62, 19.99),
    "bigstral-12b": (56, 12.48),
    "deep-miqu-103b": (120, 103.2),
    "fatllama-1.7t": (525, 1695),
    "goliath-120b": (137, 117.75),
    "llama-3-120b": (140, 121.9),
    "llama-3-12b": (48, 11.52),
    "llama-3-12b-passes": (48, 11.52),
    "llama-3-15b-zeroed": (64, 15.0),
    "llama-3-225b": (260, 224.6),
    "llama-pro-8b": (40, 8.36),
    "megadolphin-120b": (140, 120.3),
    "miqu-1-103b": (120, 103.2),
    "miqu-1-120b": (140, 120.3),
    "miquliz-120b": (137, 117.75),
    "miquliz-120b-v2": (140, 120.3),
    "neuralbeagle14-7b": (32, 7.24),
    "phi-4-25b": (70, 24.9),
    "phi-4-45b": (130, 45.3),
    "qwen2-125b": (140, 125.4),
    "rys-qwen3.5-27b-l": (69, 28.8),
    "rys-qwen3.5-27b-m": (67, 28.03),
    "rys-qwen3.5-27b-s": (65, 27.28),
    "rys-qwen3.5-27b-xl": (72, 29.94),
    "rys-xlarge": (86, 77.97),
    "solar-10.7b": (48, 10.73),
    "theprofessor-155b": (180, 154.5),
    "venus-103b-v1.0": (120, 103.2),
    "venus-120b-v1.2": (140, 120.3),
    "xwinter-120b": (137, 117.75),
}
"""Layers and parameters (in units of 1e9) by recipe, from model cards and papers.

Those of the Qwen3.5 stacks were counted in transformers' own, made without weights on the meta device.
LLaMA-Pro's paper says 8.3 B: 6.74 B of Llama-2-7B and eight layers of 202.4 M are 8.357 B, cut and not rounded there.
"""
SOURCES = {name: (files("stacker.slices") / f"{name}.yaml").read_text(encoding="utf-8") for name in FIGURES}


def test_every_recipe_has_figures() -> None:
    """No recipe ships without a published figure that it is held against."""
    assert set(list_recipes()) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name: str) -> None:
    """Layers and parameters, computed without any weights, are the published ones, as far as those are rounded."""
    stack = load_recipe(name)
    layers, billions = FIGURES[name]
    digits = len(str(billions).partition(".")[2])
    assert len(stack.graph.layers) == layers
    assert round(stack.plan().total_parameters / 1e9, digits) == billions


@pytest.mark.parametrize("name", FIGURES)
def test_head_of_the_file(name: str) -> None:
    """A recipe says in comments what it is, where it was published, under which licence, and with which figures."""
    lines = SOURCES[name].splitlines()
    assert [line.partition(":")[0] for line in lines[1:4]] == ["# Source", "# Licence", "# Published"]
    assert f"{FIGURES[name][0]} layers" in lines[3]
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 130


@pytest.mark.parametrize("name", FIGURES)
def test_is_a_native_spec_of_its_own_name(name: str) -> None:
    """A recipe is a spec like any other, without warnings, called like its file."""
    spec = parse_spec(SOURCES[name], f"{name}.yaml")
    assert (spec.dialect, spec.name, spec.problems) == (Dialect.NATIVE, name, ())
    assert all((donor.like is not None) != (donor.stack is not None) for donor in spec.donors)


def test_goliath_never_uses_the_layers_it_skips() -> None:
    """Xwin 16, 32, 48, 64 and Euryale 24, 40, 56 are in no layer of Goliath, as its author's slices have it."""
    used = {(feed.donor, feed.layer) for node in load_recipe("goliath-120b").graph.layers for feed in node.feeds}
    missing = {("xwin", layer) for layer in (16, 32, 48, 64)} | {("euryale", layer) for layer in (24, 40, 56)}
    assert not used & missing


def test_nested_recipes_reach_the_first_donor() -> None:
    """FatLlama's last layer, three stacks deep: 312 of the 1T, which is 206 of the 681B, which is 122 of the 405B."""
    stack = load_recipe("fatllama-1.7t")
    step = next(s for s in stack.plan().steps if s.tensor.name == "model.layers.524.input_layernorm.weight")
    assert "model.layers.122.input_layernorm.weight" in repr(step.expression)


def test_like_names_what_ships() -> None:
    """The reference configs that recipes lean on are there without the network and the weights."""
    assert not any(donor.weights for donor in load_recipe("theprofessor-155b").donors.values())


def test_recipes_lie_in_a_folder() -> None:
    """Nested recipes find each other by file name."""
    assert Path(str(files("stacker.slices") / "phi-4-25b.yaml")).is_file()
