"""Draws how the parameters of blends change over the layers of a stack, as curves below the depth map."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element, SubElement

from stacker.core.stack.nodes import Node
from stacker.core.values.parameters import Bound
from stacker.spec.language.stack_spec import Gradient
from stacker.view.files.svg_elements import add_text
from stacker.view.scene.scene import Scene

HEIGHT = 44
"""Height of the row of one curve in pixels, its label included."""
Curve = dict[int, float]
"""The value of a parameter by output layer."""


def find_curves(scene: Scene) -> dict[str, Curve]:
    """The parameters that change over the layers, by label, such as `t of attn` or `weight of b`."""
    curves: dict[str, Curve] = {}
    for node in scene.graph.layers:
        for label, value in _list_values(node):
            curves.setdefault(label, {})[node.index] = value
    return {label: curve for label, curve in curves.items() if len({*curve.values()}) > 1}


def _list_values(node: Node) -> list[tuple[str, float]]:
    found = [pair for setting in node.settings for pair in _list_rules(setting.name, setting.bound)]
    for feed in node.feeds:
        found += [pair for each in feed.settings for pair in _list_rules(f"{each.name} of {feed.donor}", each.bound)]
        found += [pair for scale in feed.scales for pair in _list_rules("scale", scale)]
    return found + [pair for scale in node.scales for pair in _list_rules("scale", scale)]


def _list_rules(name: str, bound: Bound) -> list[tuple[str, float]]:
    """Pairs (label, value in this layer) for each rule of a parameter whose value is a number."""
    pairs = []
    for rule in bound.parameter.rules:
        value = rule.value
        number = value.at(bound.position, bound.count) if isinstance(value, Gradient) else value
        if isinstance(number, float | int):
            pairs.append((name if rule.match == "*" else f"{name}, {rule.match}", float(number)))
    return pairs


def draw_curves(
    root: Element, curves: dict[str, Curve], top: float, left: float, place: Callable[[int], float]
) -> None:
    """Draw each curve in a row of its own; `place` gives the middle of an output layer as x coordinate in pixels."""
    for number, (label, curve) in enumerate(curves.items()):
        base = top + HEIGHT * (number + 1) - 8
        low, high = min(curve.values()), max(curve.values())
        add_text(root, left, base - 26, f"{label}: {low:.4g} to {high:.4g}", "faint")
        for run in _split_runs(curve):
            points = (f"{place(layer):.2f},{base - 22 * (curve[layer] - low) / (high - low):.2f}" for layer in run)
            SubElement(root, "polyline", {"class": "curve", "points": " ".join(points)})


def _split_runs(curve: Curve) -> list[list[int]]:
    """The layers of a curve in runs of consecutive numbers."""
    runs: list[list[int]] = []
    for layer in curve:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return runs
