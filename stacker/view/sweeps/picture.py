"""Draws a sweep as SVG: a heat map for two parameters, a curve for one number, and otherwise intervals."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.search.sweeps.grid import Axis
from stacker.search.sweeps.results import Sweep, Trial
from stacker.spec.parameters.space import format_value
from stacker.view.files.svg_elements import add_rect, add_text, clean_text
from stacker.view.scores.interval_plot import intervals_svg
from stacker.view.sweeps.curve import add_curve, find_curve_axis
from stacker.view.sweeps.heat_scale import Shade, find_shade, make_shades
from stacker.view.sweeps.words import difference_text, name_trial, title_text

_CELL, _ROW, _LEFT, _TOP = 74, 30, 120, 84
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 15px; font-weight: 600; }
rect { stroke: var(--ground); } .best { stroke: var(--ink); stroke-width: 3; }
"""


def sweep_svg_text(found: Sweep) -> str:
    """The picture of a sweep as the text of an SVG file."""
    axes = [axis for axis in found.axes if len(axis.values) > 1]
    if len(axes) == 2:
        return tostring(_draw_heat(found, axes[0], axes[1]), encoding="unicode") + "\n"
    curve = find_curve_axis(found)
    if curve is not None:
        root = Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
        add_curve(root, found, curve)
        return tostring(root, encoding="unicode") + "\n"
    rows = [(name_trial(trial), trial.difference) for trial in found.trials if not trial.failure]
    return intervals_svg(title_text(found), rows)


def _draw_heat(found: Sweep, down: Axis, across: Axis) -> Element:
    width = max(640, _LEFT + _CELL * len(across.values) + 20)
    height = _TOP + _ROW * len(down.values) + 60
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", role="img")
    SubElement(root, "title").text = clean_text(title_text(found))
    SubElement(root, "style").text = _STYLE
    add_text(root, 16, 26, title_text(found), "name")
    add_text(root, 16, 48, f"{down.name} down, {across.name} across", "faint")
    for column, value in enumerate(across.values):
        add_text(root, _LEFT + _CELL * (column + 0.5), _TOP - 10, format_value(value), "faint", "middle")
    shades = make_shades(found)
    by_values = {(trial.point[down.name], trial.point[across.name]): trial for trial in found.trials}
    for row, value in enumerate(down.values):
        top = _TOP + _ROW * row
        add_text(root, _LEFT - 8, top + 19, format_value(value), "faint", "end")
        for column, other in enumerate(across.values):
            trial = by_values.get((value, other))
            if trial is not None:
                _draw_cell(root, (_LEFT + _CELL * column, top), trial, found, shades)
    _draw_legend(root, height - 36, shades)
    return root


def _draw_cell(root: Element, corner: tuple[float, float], trial: Trial, found: Sweep, shades: Sequence[Shade]) -> None:
    shade = find_shade(shades, trial.difference.value) if trial.difference else None
    best = " best" if trial is found.winner else ""
    rect = add_rect(root, (*corner, _CELL, _ROW), fill=shade.colour if shade else "none", class_=f"cell{best}")
    said = difference_text(trial.difference) or f"failed: {trial.failure}"
    SubElement(rect, "title").text = clean_text(f"{name_trial(trial)}: {said}")
    text = f"{trial.difference.value:+.4f}" if trial.difference else "failed"
    x, y = corner[0] + _CELL / 2, corner[1] + 19
    add_text(root, x, y, text, "" if shade else "faint", "middle")
    if shade:
        root[-1].set("style", f"fill: {shade.ink}")


def _draw_legend(root: Element, top: float, shades: Sequence[Shade]) -> None:
    for number, shade in enumerate(shades):
        left = 16 + number * 84
        add_rect(root, (left, top, 14, 14), fill=shade.colour)
        add_text(root, left + 19, top + 11, shade.legend, "faint")
