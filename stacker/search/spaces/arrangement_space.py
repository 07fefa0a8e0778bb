"""The space of orders of layers: which donors, how deep, what may be done to layers, and the spec of each order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stacker.errors import SpecError
from stacker.search.spaces.arrangements import Arrangement, make_items, make_run, read_point, write_point
from stacker.spec.generators import GENERATORS, check_numbers, fill_numbers
from stacker.spec.language.stack_spec import BlendSpec, Item, RepeatSpec, SliceOrBlend, SliceSpec, StackSpec

MakeStack = Callable[[StackSpec], Any]
"""Makes what is measured of a spec."""


@dataclass(frozen=True, slots=True)
class ArrangementSpace:
    """Orders of the layers of donors that have the same shapes; `depths` has their numbers of layers, by name.

    `frame` is a spec with these donors and everything but the layers, which start with `start`. `writers` are the roles
    that a damped layer multiplies (empty: none can be damped). An order has at most `most` layers.
    """

    frame: StackSpec
    depths: Mapping[str, int]
    start: Arrangement
    most: int
    writers: tuple[str, ...] = ()
    can_hop: bool = False
    distances: tuple[tuple[float, ...], ...] = field(default=(), repr=False, compare=False)
    """The distance between each two states of the start, from the embedding to the last layer; empty if unknown."""
    make: MakeStack = field(default=lambda spec: spec, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the donors."""
        return tuple(self.depths)

    def identify(self) -> list[Any]:
        """What tells the space from others, as JSON."""
        return [dict(self.depths), write_point(self.start), self.most, [*self.writers], self.can_hop]

    def decode(self, point: Sequence[Sequence[Any]]) -> Any:
        """What is measured for the JSON of an order; SpecError if it has too many layers or none."""
        return self.make(self.write_spec(read_point(point)))

    def write_spec(self, places: Arrangement) -> StackSpec:
        """The spec of an order; SpecError if it is not in this space."""
        problem = self.find_problem(places)
        if problem:
            raise SpecError.of(problem)
        frame, used = self.frame, self._list_used(places)
        kept = frame.donors if frame.vocabulary else tuple(each for each in frame.donors if each.name in used)
        return replace(frame, donors=kept, stack=make_items(places, self.writers))

    def _list_used(self, places: Arrangement) -> set[str]:
        """The names of the donors that a spec needs: those of its layers, and those of everything else in the frame."""
        frame = self.frame
        ends = [source for end in (frame.embed, frame.head) for source in list_end_donors(end)]
        layers = [name for each in places for name in (each.donor, each.other)]
        return {name for name in (*ends, *layers, frame.tokenizer, frame.config, frame.base) if name}

    def find_problem(self, places: Arrangement) -> str:
        """Why an order is not in this space; empty if it is."""
        if not places:
            return "there are no layers left"
        if len(places) > self.most:
            return f"there are {len(places)} layers, more than {self.most}"
        if not self.can_hop and any(each.hop != 1.0 for each in places):
            return "this family cannot have hops"
        if not self.writers and any(each.damp != 1.0 for each in places):
            return "this family cannot have damped layers"
        return ""

    def list_recipes(self) -> dict[str, Arrangement]:
        """The order that each recipe generator makes of these donors with its own numbers, by the generator's name."""
        found = {}
        for name, generator in GENERATORS.items():
            least, most = generator.donors
            chosen = self.names[: most or len(self.names)]
            depth = min(self.depths.values())
            numbers = fill_numbers(generator, depth, {})
            if len(chosen) < least or any(check_numbers(generator, depth, numbers)):
                continue
            places = read_items(generator.make(chosen, depth, numbers), self.depths)
            if places is not None and not self.find_problem(places):
                found[name] = places
        return found


def read_items(items: Sequence[Item], depths: Mapping[str, int]) -> Arrangement | None:
    """The order that items of a spec make; None if it has what an order does not: blends by an op, factors by role.

    Layers that change nothing, as those of block expansion, have a `damp` of 0.
    """
    found: list[Any] = []
    for item in items:
        part = _read_item(item, depths)
        if part is None:
            return None
        found += part
    return tuple(found)


def _read_item(item: Item, depths: Mapping[str, int]) -> Arrangement | None:
    match item:
        case SliceSpec(donor, start, stop, scale) if donor in depths:
            values = {rule.value for rule in scale.rules} if scale else {1.0}
            if len(values) > 1 or not isinstance(damp := values.pop(), float):
                return None
            places = make_run(donor, start or 0, depths[donor] if stop is None else stop)
            return tuple(replace(each, damp=damp, hop=1.0 if at else item.hop) for at, each in enumerate(places))
        case RepeatSpec(items, times, None):
            inner = read_items(items, depths)
            if not inner:
                return None
            first = replace(inner[0], hop=inner[0].hop * item.hop)
            return (first, *inner[1:]) * times
        case _:
            return None


def list_end_donors(end: SliceOrBlend | None) -> tuple[str, ...]:
    """The donors of the embedding or the head of a spec."""
    match end:
        case None:
            return ()
        case SliceSpec(donor):
            return (donor,)
        case BlendSpec(sources):
            return tuple(source.donor for source in sources)
