"""Draws a search as SVG: the progress, the Pareto front of two objectives, and the lineage of the winner."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from stacker.search.results import Point, Trial
from stacker.view.files.svg_elements import add_line, add_rect, add_text, clean_text
from stacker.view.scene.palette import MUTED, assign_styles
from stacker.view.search.words import SearchStory, change_text, point_text

WIDTH, LEFT, RIGHT, PLOT = 1000, 70, 20, 260
STRIP, GAP = 22, 56
_STYLE = """
svg { --ink: #1f2328; --faint: #8a919a; --ground: #ffffff; background: var(--ground);
  font: 12px ui-sans-serif, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8ea; --faint: #868d96; --ground: #14171a; } }
text { fill: var(--ink); } .faint { fill: var(--faint); } .name { font-size: 17px; font-weight: 600; }
line { stroke: var(--faint); stroke-dasharray: 2 4; } path { fill: none; stroke: #2f7ff0; stroke-width: 2; }
rect { stroke: var(--ground); stroke-width: 1; } .front { stroke: #d63245; stroke-width: 2; }
"""


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values from `low` to `high`, whichever is larger, to pixels from `start` to `stop`; others to the ends."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high != self.low else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.stop - self.start), 1)


def story_svg(story: SearchStory) -> str:
    """The drawing as the text of an SVG file, in the reader's light or dark theme."""
    return tostring(story_element(story), encoding="unicode") + "\n"


def story_element(story: SearchStory) -> Element:
    """The drawing as an `<svg>` element."""
    panels = 1 + (len(story.objectives) > 1)
    lineage = story.lineage if len(story.lineage) > 1 else ()
    height = 60 + panels * (PLOT + GAP) + len(lineage) * (STRIP + 18) + (30 if lineage else 0)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    SubElement(root, "title").text = clean_text(f"{story.name}: a search of {len(story.trials)} candidates")
    SubElement(root, "style").text = _STYLE
    add_text(root, LEFT, 26, story.name, "name")
    _draw_progress(root, story.trials, 44)
    if panels > 1:
        _draw_front(root, story, 44 + PLOT + GAP)
    _draw_lineage(root, lineage, 44 + panels * (PLOT + GAP))
    return root


def _draw_progress(root: Element, trials: Sequence[Trial], top: float) -> None:
    """A dot for each trial, and a line for the best so far."""
    found = [(trial, trial.values[0]) for trial in trials if trial.values and math.isfinite(trial.values[0])]
    add_text(
        root, LEFT, top + 12, "change of the first objective, candidate by candidate; the line is the lowest so far"
    )
    if not found:
        return
    values = sorted(value for _, value in found)
    high = max(values[int(0.75 * (len(values) - 1))], 0.0)
    down = _Axis(high, values[0], top + 26, top + PLOT)
    across = _Axis(0, max(1, len(trials) - 1), LEFT, WIDTH - RIGHT)
    for value in dict.fromkeys((high, 0.0, values[0])):
        add_line(root, LEFT, down.place(value), WIDTH - RIGHT, down.place(value))
        add_text(root, LEFT - 8, down.place(value) + 4, change_text(value), "faint", "end")
    for trial, value in found:
        _add_dot(root, across.place(trial.number), down.place(value), trial, "#808080")
    SubElement(root, "path", d=_write_steps([*_list_steps(found, across, down)]))


def _list_steps(found: Sequence[tuple[Trial, float]], across: _Axis, down: _Axis) -> Iterator[tuple[float, float]]:
    best = math.inf
    for trial, value in found:
        best = min(best, value)
        yield across.place(trial.number), down.place(best)


def _write_steps(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    return f"M{x:g} {y:g}" + "".join(f" H{x:g} V{y:g}" for x, y in rest)


def _add_dot(root: Element, x: float, y: float, trial: Trial, colour: str, kind: str = "") -> None:
    dot = SubElement(root, "circle", {"cx": f"{x:g}", "cy": f"{y:g}", "r": "3", "fill": colour, "class": kind})
    value = ", ".join(f"{each:.5g}" for each in trial.values or ())
    SubElement(dot, "title").text = clean_text(
        f"{trial.number}: {trial.proposal.how}: {value} ({point_text(trial.point)})"
    )


def _draw_front(root: Element, story: SearchStory, top: float) -> None:
    """The first two objectives of every trial; those of the front have a ring."""
    found = [trial for trial in story.trials if trial.values and all(map(math.isfinite, trial.values))]
    add_text(root, LEFT, top + 12, f"{story.objectives[1]} (across) against {story.objectives[0]} (down is better)")
    if not found:
        return
    firsts, seconds = zip(*(trial.values[:2] for trial in found if trial.values), strict=True)
    down = _Axis(sorted(firsts)[int(0.9 * (len(firsts) - 1))], min(firsts), top + 26, top + PLOT)
    across = _Axis(min(seconds), max(seconds), LEFT, WIDTH - RIGHT)
    for trial in found:
        first, second = (trial.values or (0.0, 0.0))[:2]
        kind = "front" if trial.number in story.front else ""
        _add_dot(root, across.place(second), down.place(first), trial, "#2f7ff0" if kind else "#808080", kind)
    for value, anchor in ((min(seconds), "start"), (max(seconds), "end")):
        add_text(root, across.place(value), top + PLOT + 18, f"{value:.4g}", "faint", anchor)


def _draw_lineage(root: Element, lineage: Sequence[Trial], top: float) -> None:
    """A strip for each ancestor of the winner; the colour is the layer's donor, the shade its number."""
    if not lineage:
        return
    add_text(root, LEFT, top + 12, "the ancestors of the winner, the oldest first")
    y = top + 22
    for trial in lineage:
        value = change_text(trial.values[0]) if trial.values else ""
        add_text(root, LEFT, y + 12, f"{trial.number}  {value}  {trial.proposal.how}", "faint")
        _draw_strip(root, trial.point, y + 16)
        y += STRIP + 18


def _draw_strip(root: Element, point: Point, top: float) -> None:
    if isinstance(point, dict):
        add_text(root, LEFT, top + 12, point_text(point))
        return
    styles = assign_styles([*dict.fromkeys(sorted(run[0] for run in point))])
    layers = [(run, layer) for run in point for layer in range(run[1], run[2])]
    across = (WIDTH - LEFT - RIGHT) / len(layers)
    for at, (run, layer) in enumerate(layers):
        special = len(run) > 3
        box = (round(LEFT + at * across, 2), top, across, STRIP - 8.0)
        rect = add_rect(
            root, box, fill=styles[run[0]].colour, opacity="0.55" if special else "", stroke=MUTED if special else ""
        )
        SubElement(rect, "title").text = clean_text(f"{run[0]}[{layer}]")
