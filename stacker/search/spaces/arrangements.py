"""Defines Arrangement, an order of layers of several donors, and how it is written as JSON and as items of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stacker.spec.language.parameter_grammar import make_constant
from stacker.spec.language.stack_spec import BlendSpec, Item, Parameter, Rule, Setting, SliceSpec


@dataclass(frozen=True, slots=True)
class Place:
    """An output layer: layer `layer` of `donor`, entered with the factor `hop` on the residual stream.

    `damp` multiplies what the layer writes. With `other`, it is a linear blend with the same layer of that donor, whose
    weight is `share`.
    """

    donor: str
    layer: int
    hop: float = 1.0
    damp: float = 1.0
    other: str = ""
    share: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether the layer is copied as it is."""
        return (self.hop, self.damp, self.other) == (1.0, 1.0, "")

    def follows(self, before: Place) -> bool:
        """Whether this layer continues the run that `before` belongs to."""
        same = replace(before, layer=self.layer, hop=1.0)
        return self.layer == before.layer + 1 and same == self


Arrangement = tuple[Place, ...]
_MORE = ("hop", "damp", "other", "share")


def list_runs(places: Arrangement) -> Iterator[tuple[Place, int]]:
    """Yield each run of consecutive layers: its first place, and how many layers it has."""
    start = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or not places[at].follows(places[at - 1]):
            yield places[start], at - start
            start = at


def make_run(donor: str, start: int, stop: int) -> Arrangement:
    """The layers [start, stop) of a donor as they are."""
    return tuple(Place(donor, layer) for layer in range(start, stop))


def drop_idle(places: Arrangement) -> Arrangement:
    """An arrangement without the layers that change nothing, because they write nothing and are entered as they are."""
    return tuple(each for each in places if each.damp or each.hop != 1.0)


def write_point(places: Arrangement) -> list[list[Any]]:
    """An arrangement as JSON: for each run its donor, its bounds, and what else it has by name."""
    found = []
    for first, count in list_runs(places):
        more = {name: getattr(first, name) for name in _MORE if getattr(first, name) != getattr(_PLAIN, name)}
        found.append([first.donor, first.layer, first.layer + count, *([more] if more else [])])
    return found


def read_point(point: Sequence[Sequence[Any]]) -> Arrangement:
    """The arrangement that `write_point` wrote."""
    places: list[Place] = []
    for donor, start, stop, *more in point:
        run = [Place(donor, layer, **(more[0] if more else {})) for layer in range(start, stop)]
        places += (replace(each, hop=1.0) if at else each for at, each in enumerate(run))
    return tuple(places)


_PLAIN = Place("", 0)


def make_items(places: Arrangement, writers: Sequence[str]) -> tuple[Item, ...]:
    """The items of a spec's stack; `writers` are the roles of the tensors that write to the residual stream."""
    return tuple(_make_item(first, count, writers) for first, count in list_runs(places))


def _make_item(first: Place, count: int, writers: Sequence[str]) -> Item:
    start, stop = first.layer, first.layer + count
    scale = None if first.damp == 1.0 else Parameter(tuple(Rule(role, first.damp) for role in writers))
    if not first.other:
        return SliceSpec(first.donor, start, stop, scale, hop=first.hop)
    weights = ((first.donor, 1 - first.share), (first.other, first.share))
    sources = tuple(
        SliceSpec(donor, start, stop, scale, (Setting("weight", make_constant(weight)),)) for donor, weight in weights
    )
    return BlendSpec(sources, "linear", hop=first.hop)


def describe(places: Arrangement) -> str:
    """An arrangement in one line, such as `a[0:12] b[10:20]`."""
    return " ".join(_describe_run(first, count) for first, count in list_runs(places))


def _describe_run(first: Place, count: int) -> str:
    bounds = f"[{first.layer}:{first.layer + count}]"
    name = f"{first.donor}{bounds}" if not first.other else f"{first.donor}+{first.share:g}·{first.other}{bounds}"
    hop = "" if first.hop == 1.0 else f"hop {first.hop:g} "
    return f"{hop}{name}" + ("" if first.damp == 1.0 else f"×{first.damp:g}")
