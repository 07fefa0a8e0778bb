"""Proposes a stack, near a given one, in which every layer has the kind that clients derive from its index.

Each slice of the stack begins a few layers earlier or later, so that the pattern of the family continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stacker.arch.files.clients import ClientRule
from stacker.arch.files.formula import FormulaError
from stacker.core.clients.checkpoint import Checkpoint, view_donor
from stacker.core.clients.verdicts import Verdict
from stacker.core.config.refusals import slices_text, value_at
from stacker.core.stack.graph import Segment, StackGraph, find_segments
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json

FARTHEST = 12
"""A slice is moved by at most this number of layers, which is more than the longest period of any family."""

Fits = Callable[[Donor, int, int], bool]
"""Whether a donor's layer (second argument) may stand at an index of the stack (third argument)."""


def find_fitting_stack(graph: StackGraph, donors: Mapping[str, Donor], verdicts: Sequence[Verdict]) -> str:
    """The slices of the nearest stack that all clients compute correctly; "" if there is none or a layer is blended.

    Mistakes that a client also makes with the donor itself are ignored.
    """
    rules = [f.rule for verdict in verdicts for f in verdict.findings if f.layers and not f.of_donor]
    if not rules or any(len(node.feeds) > 1 for node in graph.layers):
        return ""
    views = {name: view_donor(donor) for name, donor in donors.items()}
    segments = find_segments(graph)
    layers = _move_slices(segments, donors, _make_test(rules, views, graph.template, len(graph.layers)))
    test = _make_test(rules, views, graph.template, len(layers))
    if not layers or not all(test(donor, layer, index) for index, (donor, layer) in enumerate(layers)):
        return ""
    return slices_text(layers)


def _move_slices(segments: Sequence[Segment], donors: Mapping[str, Donor], fits: Fits) -> list[tuple[Donor, int]]:
    """The layers of the stack after each slice was made to begin at the nearest layer that fits; empty if none fits."""
    layers: list[tuple[Donor, int]] = []
    for segment in segments:
        donor, start = donors[segment.first.feeds[0].donor], segment.first.feeds[0].layer or 0
        stop = start + len(segment)
        found = next(
            (
                [(donor, layer) for layer in range(first, stop)]
                for first in _nearby(start, stop)
                if all(fits(donor, layer, len(layers) + place) for place, layer in enumerate(range(first, stop)))
            ),
            None,
        )
        if found is None:
            return []
        layers += found
    return layers


def _nearby(start: int, stop: int) -> Iterator[int]:
    """Yield layers at which a slice that ends before layer `stop` may begin instead of `start`, the nearest first.

    Of two layers that are equally near, the later one comes first.
    """
    for distance in range(FARTHEST + 1):
        for first in dict.fromkeys((start + distance, start - distance)):
            if 0 <= first < stop:
                yield first


def _make_test(rules: Sequence[ClientRule], views: Mapping[str, Checkpoint], template: str, depth: int) -> Fits:
    """A function that tells whether a donor's layer has the values that clients derive for an index of the stack."""
    names = {**views[template].names, "depth": depth}
    return lambda donor, layer, index: all(
        _value(views[donor.name], rule, layer) == _expected(rule, names, index) for rule in rules
    )


def _value(view: Checkpoint, rule: ClientRule, layer: int) -> Json:
    stated = view.find_rule(rule.layers)
    return value_at(stated, view.names, layer) if stated else None


def _expected(rule: ClientRule, names: Mapping[str, Any], index: int) -> Json:
    try:
        value: Json = rule.value.value({**names, "i": index}) if rule.value else None
    except FormulaError:
        return None
    return value
