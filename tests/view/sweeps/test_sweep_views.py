"""Pictures of sweeps: what is drawn is what was measured, also for a narrow terminal and with hostile names."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from stacker.measure.results import LOSS, SURPRISE, Estimate, Measure
from stacker.search.sweeps.grid import Axis, make_grid
from stacker.search.sweeps.results import Sweep, Trial
from stacker.spec.parameters.space import ParameterValue
from stacker.view.sweeps.curve import find_curve_axis
from stacker.view.sweeps.heat_scale import find_shade, make_shades
from stacker.view.sweeps.page import sweep_page_text
from stacker.view.sweeps.picture import sweep_svg_text
from stacker.view.sweeps.terminal import draw_sweep

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script>\x1b[31m@@rows@@[bold]\u202e"


def make_sweep(
    axes: tuple[Axis, ...], values: list[float | None], name: str = "tall", measure: Measure = LOSS
) -> Sweep:
    """A sweep with these differences in the order of its grid; None is a failed point."""
    own = Trial({}, "own", 12, {measure: 3.0}, None)
    trials = [
        Trial(point, failure=f"it does not fit {name}")
        if value is None
        else Trial(point, str(at), 12, {measure: 3.0 + value}, Estimate(value, 12, value - 0.1, value + 0.1))
        for at, (point, value) in enumerate(zip(make_grid(axes), values, strict=True))
    ]
    known = [(value, at) for at, value in enumerate(values) if value is not None]
    return Sweep(name, axes, measure, own, tuple(trials), 12, 6, min(known)[1] if known else None)


def draw(found: Sweep, width: int) -> str:
    """What a terminal of `width` columns shows, without colours."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    console.print(draw_sweep(found, width))
    return out.getvalue()


def numbers(*values: ParameterValue) -> tuple[Axis, ...]:
    return (Axis("t", values),)


def test_a_curve_has_its_values_across() -> None:
    """Dots lie at their values and differences, in a band from the lowest to the highest bound."""
    found = make_sweep(numbers(0.0, 0.25, 1.0), [0.2, -0.1, 0.4])
    root = ET.fromstring(sweep_svg_text(found))
    dots = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in root.iter(f"{SVG}circle")]
    (left, _), (middle, _), (right, _) = dots
    assert middle - left == pytest.approx((right - left) / 4, abs=0.2)
    heights = [y for _, y in dots]
    assert heights[0] - heights[2] == pytest.approx((heights[1] - heights[0]) * 2 / 3, abs=0.2)  # 0.2 against 0.3
    (polygon,) = root.iter(f"{SVG}polygon")
    band = [tuple(map(float, corner.split(","))) for corner in polygon.get("points", "").split()]
    assert [x for x, _ in band] == [left, middle, right, right, middle, left]
    step = (heights[1] - heights[0]) / 3  # for 0.1
    tops = [y for _, y in band[:3]]
    assert tops == pytest.approx([y - step for y in heights], abs=0.2)
    assert [dot.get("class") for dot in root.iter(f"{SVG}circle")] == ["", "best", ""]


def test_values_out_of_order_make_a_curve_in_order() -> None:
    """The order of words on the command line does not matter to the curve, and failed points are left out."""
    found = make_sweep(numbers(8, 2, 5, 3), [0.1, 0.2, None, 0.3])
    root = ET.fromstring(sweep_svg_text(found))
    places = [float(dot.get("cx", "")) for dot in root.iter(f"{SVG}circle")]
    assert places == sorted(places)
    assert len(places) == 3


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        pytest.param(numbers(0.0, 1.0), True, id="numbers"),
        pytest.param((*numbers(1, 2), Axis("u", (3,))), True, id="another-does-not-move"),
        pytest.param(numbers("linear", "slerp"), False, id="words"),
        pytest.param(numbers(False, True), False, id="truths"),
        pytest.param((*numbers(1, 2), Axis("u", (3, 4))), False, id="two"),
        pytest.param(numbers(1), False, id="one-value"),
    ],
)
def test_which_sweeps_are_curves(axes: tuple[Axis, ...], expected: bool) -> None:
    """One moving number makes a curve."""
    count = len(make_grid(axes))
    assert (find_curve_axis(make_sweep(axes, [0.1] * count)) is not None) is expected


@pytest.mark.parametrize("measure", [LOSS, SURPRISE])
@pytest.mark.parametrize("size", [1e-4, 0.02, 3.0])
def test_colours_follow_the_size_of_differences(measure: Measure, size: float) -> None:
    """Whatever the unit, differences of several sizes have several colours; gains and losses never share one."""
    axes = (Axis("a", (1, 2, 3)), Axis("b", (1, 2)))
    found = make_sweep(axes, [-3 * size, -size, 0.0, size, 3 * size, 30 * size], measure=measure)
    shades = make_shades(found)
    colours = [find_shade(shades, trial.difference.value).colour for trial in found.trials if trial.difference]
    assert len(set(colours)) >= 5
    assert not {*colours[:2]} & {*colours[2:]}
    assert colours[0] != colours[1]
    root = ET.fromstring(sweep_svg_text(found))
    drawn = [cell.get("fill") for cell in root.iter(f"{SVG}rect") if "cell" in cell.get("class", "")]
    assert drawn == colours


AXES = {
    "curve": numbers(*(each / 10 for each in range(11))),
    "words": numbers("linear", "slerp"),
    "heat": (Axis("a", (1, 2)), Axis("b", (0.5, 1.0, 1.5))),
    "wide": (Axis("a", (1, 2)), Axis("b", tuple(range(40)))),
    "many": tuple(Axis(name, (1, 2, 3, 4)) for name in "abc"),
}


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("fails", [False, True])
def test_terminals(name: str, width: int, fails: bool) -> None:
    """No line is longer than the terminal, and the best point is named."""
    axes = AXES[name]
    count = len(make_grid(axes))
    found = make_sweep(axes, [None if fails and at % 2 else 0.1 - at for at in range(count)])
    shown = draw(found, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "best: " in shown
    assert ("failed" in shown) is fails


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_hostile_names(axes: tuple[Axis, ...]) -> None:
    """Names are text: no markup, no control characters, and no placeholders of the page."""
    hostile = (Axis(HOSTILE, axes[0].values), *axes[1:])
    count = len(make_grid(hostile))
    found = make_sweep(hostile, [None if at == 1 else 0.1 * at for at in range(count)], HOSTILE)
    page, svg, shown = sweep_page_text(found), sweep_svg_text(found), draw(found, 60)
    assert "<script" not in page + svg
    assert "\x1b" not in page + svg + shown
    assert "\u202e" not in page + svg + shown
    assert page.count("<table>") == 1
    assert page.count("<tr") == count + 2
    ET.fromstring(svg)


def test_nothing_measured() -> None:
    """A sweep in which all points failed has pictures too."""
    found = make_sweep(numbers(1, 2), [None, None])
    assert "2 failed" in draw(found, 60)
    ET.fromstring(sweep_svg_text(found))
    assert "failed" in sweep_page_text(found)
