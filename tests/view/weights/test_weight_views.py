"""Maps of distances: the scale, narrow terminals, and distances that are no numbers."""

from __future__ import annotations

from math import inf, nan

import pytest
from rich.console import Console

from stacker.core.study.distances import Distance, TensorDistance, WeightDistances
from stacker.view.weights.shades import ODD_CHARACTER, find_shade, make_shades
from stacker.view.weights.terminal import WeightMap
from stacker.view.weights.weights_json import weights_json


def far(distance: float) -> Distance:
    """A tensor of two elements at this distance from 1."""
    return Distance(1, 2, int(distance != 0), distance**2, 1.0, 1.0, 1.0)


def found(*distances: float) -> WeightDistances:
    """A checkpoint with one role and a layer at each of these distances."""
    tensors = (TensorDistance(f"{layer}.q", "attn.q", layer, far(each)) for layer, each in enumerate(distances))
    return WeightDistances(len(distances), tuple(tensors))


def drawn(distances: WeightDistances, width: int) -> list[str]:
    """The lines of the map without colours."""
    console = Console(width=width, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(WeightMap(distances))
    return capture.get().splitlines()


def test_the_scale_spans_what_was_found() -> None:
    """The classes have equal ratios, the last one ends at the largest distance, and each distance has a class."""
    distances = [0.001, 0.0, 0.004, 0.256, nan, inf]
    shades = make_shades(distances)
    assert [shade.limit for shade in shades] == pytest.approx([0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256])
    assert find_shade(0.0, shades) is None
    assert [shade.character for each in distances[2:] if (shade := find_shade(each, shades))][1:] == [
        shades[-1].character,
        ODD_CHARACTER,
        ODD_CHARACTER,
    ]
    assert len(make_shades([0.5, 0.5])) == 1
    assert make_shades([0.0]) == ()


def test_narrow_terminals_show_bands() -> None:
    """Each layer has its place in one of the bands, which are numbered."""
    lines = drawn(found(*([0.1] * 25)), 20)
    rows = [line.removeprefix("attn.q").strip() for line in lines if line.startswith("attn.q ") and "%" not in line]
    assert "".join(rows) == rows[0][0] * 25
    assert len(rows) == 3
    assert all(len(line) <= 20 for line in lines)


def test_no_difference_draws_no_map() -> None:
    """Equal checkpoints are one sentence."""
    assert drawn(found(0.0, 0.0), 80) == ["weights: the values of 2 tensors are the same"]


def test_odd_distances() -> None:
    """A distance that is not a number is drawn as such, comes last among the layers, and is null in JSON."""
    distances = found(0.2, nan, 0.1)
    (row,) = [line for line in drawn(distances, 80) if line.startswith("attn.q ") and "%" not in line]
    assert row.split()[1][2:4] == "!!"
    said = weights_json(distances)
    assert said["most_changed"] == [0, 2, 1]
    assert said["layers"][1]["distance"] is None
