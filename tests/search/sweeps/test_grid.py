"""Which points a sweep tries."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.search.sweeps.grid import Axis, draw_points, format_point, make_grid, parse_axes
from stacker.spec.parameters.space import ParameterValue, SpecParameter

PARAMETERS = (
    SpecParameter("t", 0.5, (0, 1)),
    SpecParameter("cut", 16, (8, 24), 4),
    SpecParameter("op", "slerp", choices=("linear", "slerp")),
    SpecParameter("free", 1.0),
    SpecParameter("word", "a"),
    SpecParameter("on", value=True),
    SpecParameter("n", 3, (1, 4)),
)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        pytest.param("t=0:1:0.1", tuple(each / 10 for each in range(11)), id="exact-steps"),
        pytest.param("t=0:1:0.3", (0.0, 0.3, 0.6, 0.9), id="end-not-reached"),
        pytest.param("cut=8:24:4", (8, 12, 16, 20, 24), id="whole"),
        pytest.param("cut=8:10", (8, 9, 10), id="step-of-one"),
        pytest.param("t=0,0.5,1", (0.0, 0.5, 1.0), id="list"),
        pytest.param("t=0.5,0.5", (0.5,), id="twice"),
        pytest.param("op=slerp,linear", ("slerp", "linear"), id="words"),
        pytest.param("word=a:b", ("a:b",), id="word-with-colon"),
        pytest.param("free=-1:1:1", (-1.0, 0.0, 1.0), id="without-range"),
        pytest.param("t", tuple(each / 10 for each in range(11)), id="own-range"),
        pytest.param("cut", (8, 12, 16, 20, 24), id="own-step"),
        pytest.param("n", (1, 2, 3, 4), id="own-whole-range"),
        pytest.param("op", ("linear", "slerp"), id="own-choices"),
        pytest.param("on", (False, True), id="truth"),
    ],
)
def test_axes(word: str, values: tuple[ParameterValue, ...]) -> None:
    """Ranges include both ends, lists keep their order, and a name alone stands for what the spec says."""
    (axis,) = parse_axes([word], PARAMETERS)
    assert axis.values == values
    assert {type(each) for each in axis.values} == {type(each) for each in values}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tt=1", "did you mean 't'"),
        ("free", "says no range"),
        ("t=0:2:0.5", r"outside its range \[0, 1\]"),
        ("t=1:0:0.1", "has no values"),
        ("t=0:1:0", "has no values"),
        ("t=0:1:0.1:3", "not a range"),
        ("t=0:x", "not a range"),
        ("t=", "takes a number"),
        ("cut=8:12:0.5", "takes a whole number"),
        ("free=0:1:0.00001", "a range has 100,001 values"),
    ],
)
def test_wrong_words(word: str, message: str) -> None:
    """What is no axis of the spec is refused with the reason."""
    with pytest.raises(SpecError, match=message):
        parse_axes([word], PARAMETERS)


def test_without_words() -> None:
    """Without words, everything that the spec gives a range or choices is swept; a spec without any is refused."""
    assert [axis.name for axis in parse_axes([], PARAMETERS)] == ["t", "cut", "op", "n"]
    with pytest.raises(SpecError, match="nothing to sweep"):
        parse_axes([], ())


def test_the_grid() -> None:
    """All combinations, the last parameter fastest; a huge grid is refused."""
    points = make_grid((Axis("a", (1, 2)), Axis("b", ("x", "y"))))
    assert [format_point(point) for point in points] == ["a=1 b=x", "a=1 b=y", "a=2 b=x", "a=2 b=y"]
    with pytest.raises(SpecError, match="1,000,000 points"):
        make_grid([Axis(name, tuple(range(100))) for name in "abc"])


def test_random_points() -> None:
    """Points drawn at random are different points of the grid, the same for the same seed; also of huge grids."""
    axes = [Axis(name, tuple(range(100))) for name in "abc"]
    drawn = draw_points(axes, 50, 3)
    assert drawn == draw_points(axes, 50, 3) != draw_points(axes, 50, 4)
    assert len({format_point(point) for point in drawn}) == 50
    small = axes[:1]
    assert draw_points(small, 500, 0) == make_grid(small)
