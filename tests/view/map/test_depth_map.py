"""The depth map and its thumbnail, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.view.map.annotations import choose_step
from stacker.view.map.depth_map import DepthMap, draw_thumbnail
from stacker.view.map.raster import draw_raster, make_axis
from tests.core.stacks import graph_of, make_donor
from tests.view.scenes import BLENDED, GOLIATH, REPEATED, printed, scene_of

TINY = {name: make_donor(name) for name in "ab"}


def map_lines(stack: str, width: int = 60) -> list[str]:
    """The lines of the map of a stack of tiny donors, letters for donors."""
    return printed(DepthMap(graph_of(stack, TINY), TINY), width).splitlines()


@given(count=st.integers(1, 10_000), room=st.integers(1, 240), most=st.integers(1, 4))
def test_every_layer_has_its_place(count: int, room: int, most: int) -> None:
    """Layers are in order within the room, and the last one reaches the end of the axis."""
    axis = make_axis(count, room, most)
    firsts = [axis.first(layer) for layer in range(count)]
    assert axis.cells <= room
    assert firsts == sorted(firsts)
    assert firsts[0] == 0
    assert axis.span(count - 1).stop == axis.cells


@given(count=st.integers(2, 200), spare=st.integers(0, 300))
def test_layers_that_fit_are_equally_wide(count: int, spare: int) -> None:
    """If there is a cell for each layer, all layers have the same number of cells and share none."""
    axis = make_axis(count, count + spare, 4)
    cells = [cell for layer in range(count) for cell in axis.span(layer)]
    assert cells == [*range(axis.cells)]
    assert len({len(axis.span(layer)) for layer in range(count)}) == 1


def test_a_slice_is_a_diagonal() -> None:
    """Layer k of the donor is in column k and in row k from the bottom."""
    lines = map_lines("- a[0:6]")
    drawn = [line[6:].rstrip() for line in lines[:6]]
    assert drawn == [" " * 4 * row + "AAAA" for row in reversed(range(6))]


def test_layers_used_again_are_lower_case_and_counted() -> None:
    """The second use of a layer is in lower case, with a 2 below it."""
    lines = map_lines("- a[0:4]\n- a[2:6]")
    assert lines[2][6:].rstrip() == " " * 12 + "AAAA" + " " * 4 + "aaaa"
    assert lines[-1].split() == ["again", "22222222"]
    assert lines[-1].index("2") == 6 + 4 * 4


def test_jumps_are_drawn_and_measured() -> None:
    """A vertical line spans the jump, with its length below."""
    lines = map_lines("- a[0:6]\n- a[1:6]")
    column = 6 + 6 * 4
    assert [line[column : column + 1] for line in lines[1:4]] == ["│"] * 3
    assert lines[-2].index("-5") == column


def test_hops_are_below_their_layers() -> None:
    """The factor stands below the layer that it enters."""
    lines = map_lines("- a[0:3]\n- {slice: 'a[3:6]', hop: 0.75}")
    assert lines[-1].split() == ["hop", "0.75"]
    assert lines[-1].index("0.75") == lines[-2].index("3")


@pytest.mark.parametrize("op", ["linear\n  weight: 1", "slerp\n  t: 0.5"], ids=["linear", "slerp"])
def test_a_blend_of_one_layer_is_a_diamond(op: str) -> None:
    """Donors in the same cell are shown as a blend, donors in different cells by their letters."""
    together = map_lines(f'- blend: ["a[0:2]", "b[0:2]"]\n  op: {op}')
    apart = map_lines(f'- blend: ["a[0:1]", "b[4:5]"]\n  op: {op}')
    assert "◆" in "".join(together)
    assert "◆" not in "".join(apart)
    assert {"A", "B"} <= set("".join(apart))


def test_a_blend_has_both_colours() -> None:
    """One colour is the foreground, the other the background of the character."""
    assert "\x1b[38;2;47;127;240;48;2;213;100;15m▚" in printed(DepthMap(*_seen(BLENDED)), 100, "colour")


@pytest.mark.parametrize(("width", "height"), [(24, 4), (10, 2), (60, 8)])
@pytest.mark.parametrize("text", [GOLIATH, BLENDED, REPEATED], ids=["goliath", "blended", "repeated"])
def test_a_thumbnail_keeps_to_its_size(text: str, width: int, height: int) -> None:
    """Braille dots within the given size, with dots in every line."""
    lines = draw_thumbnail(*_seen(text), width, height).plain.splitlines()
    assert len(lines) <= height
    assert all(0 < len(line) <= width and line.strip() for line in lines)


def test_a_thumbnail_of_a_slice_is_a_diagonal_of_dots() -> None:
    """Four layers of a donor: dots from the lower left to the upper right."""
    donors = {"a": make_donor("a", num_hidden_layers=4)}
    assert draw_thumbnail(graph_of("- a[0:4]", donors), donors, 2, 1).plain == "⡠⠊"


def test_single_layers_survive_a_narrow_map() -> None:
    """A single layer of another donor is drawn even if layers share columns."""
    donors = {"a": make_donor("a", num_hidden_layers=100), "b": make_donor("b", num_hidden_layers=100)}
    graph = graph_of("- a[0:50]\n- b[50]\n- a[51:100]", donors)
    raster = draw_raster(graph, donors, 20, 20)
    assert any("b" in cell.donors for cell in raster.cells.values())


@given(st.floats(0.001, 1e6))
def test_steps_of_scales_are_round(least: float) -> None:
    """The next of 1, 2, 5, 10 …: at least the minimum, and at most 2.5 times as much."""
    step = choose_step(least)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert least <= step <= max(1, 2.5 * least)


def _seen(text: str) -> tuple[StackGraph, Mapping[str, Donor]]:
    scene = scene_of(text)
    return scene.graph, scene.donors
