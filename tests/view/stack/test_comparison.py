"""Two stacks side by side."""

from __future__ import annotations

import re

import pytest

from stacker.view.stack.comparison import comparison_json, draw_comparison, find_changed_runs
from tests.view.scenes import BLENDED, GOLIATH, REPEATED, printed, scene_of


def test_what_differs_stands_beside_each_other() -> None:
    """Both values of a figure that differs; one word for what is the same."""
    other = GOLIATH.replace("goliath-120b", "shorter").replace("  - euryale[57:72]\n", "")
    text = printed(draw_comparison(scene_of(GOLIATH), scene_of(other)), 120)
    assert "llama, 137" in text
    assert "llama, 122" in text
    assert "the same" in text
    assert "euryale[57] to euryale[71]" in text


def test_runs_of_layers_that_differ() -> None:
    """Layers are compared by where they are from and how they are made."""
    other = GOLIATH.replace("  - euryale[57:72]\n", "")
    assert [*find_changed_runs(scene_of(GOLIATH), scene_of(other))] == [((107, 122), (107, 107))]
    assert [*find_changed_runs(scene_of(GOLIATH), scene_of(GOLIATH))] == []


def test_the_same_stack_twice() -> None:
    """Nothing differs, and it is said."""
    assert "the layers are the same" in printed(draw_comparison(scene_of(GOLIATH), scene_of(GOLIATH)), 120)


@pytest.mark.parametrize("width", [60, 100, 140, 240])
@pytest.mark.parametrize("kind", ["plain", "colour"])
def test_it_fits(width: int, kind: str) -> None:
    """Beside each other or one above the other, never wider than the terminal."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(draw_comparison(scene_of(BLENDED), scene_of(REPEATED)), width, kind))
    assert max(map(len, text.splitlines())) <= width


def test_programs_get_both_and_what_differs() -> None:
    """The two previews and the runs, as plain numbers."""
    said = comparison_json(scene_of(BLENDED), scene_of(REPEATED))
    assert (said["left"]["name"], said["right"]["name"]) == ("blended", "repeated")
    assert said["layers_that_differ"][0] == {"left": [6, 14], "right": [6, 14]}
