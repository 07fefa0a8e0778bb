"""Two stacks side by side."""

from __future__ import annotations

import re

import pytest

from stacker.view.stack.comparison import comparison_json, draw_comparison, find_changed_runs
from tests.view.scenes import BLENDED, GOLIATH, REPEATED, printed, scene_of


def test_figures_that_differ_are_side_by_side() -> None:
    """Both values of a figure that differs; others are called the same."""
    other = GOLIATH.replace("goliath-120b", "shorter").replace("  - euryale[57:72]\n", "")
    text = printed(draw_comparison(scene_of(GOLIATH), scene_of(other)), 120)
    assert "llama, 137" in text
    assert "llama, 122" in text
    assert "the same" in text
    assert "euryale[57] to euryale[71]" in text


def test_runs_of_layers_that_differ() -> None:
    """Layers are compared by source and op."""
    other = GOLIATH.replace("  - euryale[57:72]\n", "")
    assert [*find_changed_runs(scene_of(GOLIATH), scene_of(other))] == [((107, 122), (107, 107))]
    assert [*find_changed_runs(scene_of(GOLIATH), scene_of(GOLIATH))] == []


def test_the_same_stack_twice() -> None:
    """Equal stacks are reported as the same."""
    assert "the layers are the same" in printed(draw_comparison(scene_of(GOLIATH), scene_of(GOLIATH)), 120)


@pytest.mark.parametrize("width", [60, 100, 140, 240])
@pytest.mark.parametrize("kind", ["plain", "colour"])
def test_it_fits(width: int, kind: str) -> None:
    """Side by side or stacked, no line is wider than the terminal."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(draw_comparison(scene_of(BLENDED), scene_of(REPEATED)), width, kind))
    assert max(map(len, text.splitlines())) <= width


def test_json_has_both_and_the_differences() -> None:
    """Both previews, and the runs that differ as numbers."""
    said = comparison_json(scene_of(BLENDED), scene_of(REPEATED))
    assert (said["left"]["name"], said["right"]["name"]) == ("blended", "repeated")
    assert said["layers_that_differ"][0] == {"left": [6, 14], "right": [6, 14]}
