"""Config entries that no rule covers: errors where a stack moves layers against them, warnings elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacker.compose import load
from stacker.errors import Problem, Severity
from tests.donors import write_llama

MOVED = 'stack: ["a[0:4]", "a[2:6]"]\n'


def problems_with(home: Path, stack: str, more: str = "", **config: Any) -> list[Problem]:
    """The problems that name the entry, of a stack over a tiny llama whose config has it."""
    write_llama(home / "a", **config)
    (home / "s.yml").write_text(f"stacker: 1\ndonors: {{a: ./a}}\n{stack}{more}")
    return [problem for problem in load(home / "s.yml").problems if any(key in problem.message for key in config)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("bskcn_1", [1, 3], id="layers by number"),
        pytest.param("dense_attention_every_n_layers", 4, id="a period that the jump breaks"),
        pytest.param("moe_layers_enum", "4,5", id="numbers as text"),
    ],
)
def test_a_moved_layer_breaks_an_entry(key: str, value: Any, tmp_path: Path) -> None:
    """The error names the entry, the layer and its new place, and how to say that the entry is harmless."""
    (problem,) = problems_with(tmp_path, MOVED, **{key: value})
    assert problem.severity is Severity.ERROR
    assert f"'{key}: {value}'" in problem.message
    assert f"`config_keys: {{{key}: ignore}}`" in problem.hint


def test_a_jump_by_whole_periods_is_a_warning(tmp_path: Path) -> None:
    """Where every layer keeps its place in the period, the entry stays true."""
    (problem,) = problems_with(tmp_path, MOVED, dense_attention_every_n_layers=2)
    assert problem.severity is Severity.WARNING


def test_an_ignored_entry_is_not_reported(tmp_path: Path) -> None:
    """What the spec declares harmless is neither an error nor a warning, and stays in the config."""
    assert problems_with(tmp_path, MOVED, "config_keys: {bskcn_1: ignore}\n", bskcn_1=[1, 3]) == []
    assert load(tmp_path / "s.yml").config["bskcn_1"] == [1, 3]


def test_a_donor_without_the_entry_has_nothing_to_break(tmp_path: Path) -> None:
    """An ordinary config is not reported."""
    write_llama(tmp_path / "a")
    (tmp_path / "s.yml").write_text(f"stacker: 1\ndonors: {{a: ./a}}\n{MOVED}")
    assert not [problem for problem in load(tmp_path / "s.yml").problems if "may say something" in problem.message]


def test_an_ignored_entry_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """A key that no config has is probably misspelt, and the entry it means is still reported."""
    write_llama(tmp_path / "a", bskcn_1=[1, 3])
    (tmp_path / "s.yml").write_text(f"stacker: 1\ndonors: {{a: ./a}}\n{MOVED}config_keys: {{bskcn_2: ignore}}\n")
    found = {problem.severity: problem for problem in load(tmp_path / "s.yml").problems if "bskcn" in problem.message}
    assert set(found) == {Severity.ERROR, Severity.WARNING}
    assert "did you mean 'bskcn_1'?" in found[Severity.WARNING].hint


@pytest.mark.parametrize("stack", ['["a[0:5]", "a[0:6]", "a[4:6]"]', '["a[0:5]"]', '["a[0:3]", "b[3:6]"]'])
def test_a_tensor_outside_with_a_part_for_each_layer(stack: str, tmp_path: Path) -> None:
    """Where nothing says how the parts of a tensor follow the layers, only all layers of one donor are accepted."""
    for name in "ab":
        write_llama(tmp_path / name, model_type="unknown", extra={"model.lambdas": ("F32", (6,))})
    (tmp_path / "s.yml").write_text(f"stacker: 1\ndonors: {{a: ./a, b: ./b}}\nstack: {stack}\n")
    (problem,) = [problem for problem in load(tmp_path / "s.yml").problems if "lambdas" in problem.message]
    assert problem.severity is Severity.ERROR
    assert "take exactly a[0:6]" in problem.hint
