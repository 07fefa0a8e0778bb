"""Divides changes of loss into classes with a colour and a character each, and arranges a map's changes in panels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from stacker.measure.probes.results import Change, DepthMap


@dataclass(frozen=True, slots=True)
class HeatClass:
    """Changes of loss up to `limit` nats a token: their colour, the character without colours, and the legend."""

    limit: float
    colour: str
    character: str
    legend: str


HEAT_CLASSES = (
    HeatClass(0.0, "#2f7ff0", "-", "better"),
    HeatClass(0.02, "#f4efc4", ".", "< 0.02"),
    HeatClass(0.05, "#fbd98a", ":", "< 0.05"),
    HeatClass(0.1, "#fab65c", "=", "< 0.1"),
    HeatClass(0.2, "#f28f43", "+", "< 0.2"),
    HeatClass(0.5, "#e4632f", "*", "< 0.5"),
    HeatClass(1.0, "#c43a2c", "#", "< 1"),
    HeatClass(2.0, "#8e1f3a", "%", "< 2"),
    HeatClass(float("inf"), "#4a1440", "@", "more"),
)


def find_heat(change: float) -> HeatClass:
    """The class of a change of loss in nats a token; exactly 0 is no gain."""
    return next(heat for heat in HEAT_CLASSES if change < heat.limit or heat is HEAT_CLASSES[-1])


@dataclass(frozen=True, slots=True)
class Panel:
    """The changes of one way of editing, such as `repeat`, by (start, length) of the run of layers."""

    label: str
    depth: int
    longest: int
    changes: Mapping[tuple[int, int], Change]

    def row(self, length: int) -> Iterator[Change | None]:
        """Yields the change for each start of a run of `length` layers; None if it has not been measured."""
        return (self.changes.get((start, length)) for start in range(self.depth - length + 1))


def make_panels(found: DepthMap) -> tuple[Panel, ...]:
    """The panels of a map, one for each way of editing and factor."""
    longest = max((change.edit.length for change in found.changes), default=0)
    ordered = sorted(found.changes, key=lambda change: _order(change.edit.label))
    return tuple(
        Panel(label, found.depth, longest, {(each.edit.start, each.edit.length): each for each in group})
        for label, group in groupby(ordered, key=lambda change: change.edit.label)
    )


def _order(label: str) -> tuple[bool, bool, str]:
    return (label != "repeat", label != "drop", label)
