"""Small random changes of an order of layers, and the crossing of two orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import Arrangement, Place

LONGEST = 8
"""The most layers that one change touches."""
HOPS = (0.8, 0.9, 0.95, 1.05, 1.1)
DAMPS = (0.1, 0.3, 0.5)
SHARES = (0.25, 0.5, 0.75)
Random = np.random.Generator
Move = Callable[[ArrangementSpace, Arrangement, Random], tuple[Arrangement, str]]
"""Returns the changed order and a description; the order is unchanged if nothing can be done."""


def _choose_run(places: Arrangement, source: Random) -> tuple[int, int]:
    """Bounds of a run of output layers; short ones are likelier."""
    length = min(len(places), 1 + min(int(source.geometric(0.35)) - 1, LONGEST - 1))
    start = int(source.integers(len(places) - length + 1))
    return start, start + length


def repeat(space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Put a copy of a run behind it; at times entered with a hop, or damped."""
    start, stop = _choose_run(places, source)
    copy, how = list(places[start:stop]), f"repeat {start}:{stop}"
    kinds = ["plain", *["hop"] * space.can_hop, *["damp"] * bool(space.writers)]
    kind = kinds[int(source.integers(len(kinds)))]
    if kind == "hop":
        hop = float(source.choice(HOPS))
        copy[0], how = replace(copy[0], hop=hop), f"{how} with hop {hop:g}"
    elif kind == "damp":
        damp = float(source.choice(DAMPS))
        copy, how = [replace(each, damp=damp) for each in copy], f"{how} damped {damp:g}"
    return (*places[:stop], *copy, *places[stop:]), how


def drop(_space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Leave a run out."""
    start, stop = _choose_run(places, source)
    return (*places[:start], *places[stop:]), f"drop {start}:{stop}"


def move(_space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Put a run a few layers earlier or later."""
    start, stop = _choose_run(places, source)
    rest = (*places[:start], *places[stop:])
    to = int(np.clip(start + source.choice((-3, -2, -1, 1, 2, 3)), 0, len(rest)))
    return (*rest[:to], *places[start:stop], *rest[to:]), f"move {start}:{stop} to {to}"


def substitute(space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Take the layers of a run from another donor, with the same numbers."""
    start, stop = _choose_run(places, source)
    others = [name for name in space.names if name != places[start].donor]
    if not others:
        return places, "nothing to take layers from"
    donor = others[int(source.integers(len(others)))]
    run = tuple(_take(space, each, donor) for each in places[start:stop])
    return (*places[:start], *run, *places[stop:]), f"take {start}:{stop} from {donor}"


def shift(space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Replace a layer by its neighbour of any donor."""
    at = int(source.integers(len(places)))
    donor = space.names[int(source.integers(len(space.names)))]
    layer = int(np.clip(places[at].layer + source.choice((-1, 1)), 0, space.depths[donor] - 1))
    return (*places[:at], Place(donor, layer), *places[at + 1 :]), f"put {donor}[{layer}] at {at}"


def blend(space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Blend a run with the same layers of another donor."""
    start, stop = _choose_run(places, source)
    others = [name for name in space.names if name != places[start].donor]
    if not others:
        return places, "nothing to blend with"
    other, share = others[int(source.integers(len(others)))], float(source.choice(SHARES))
    run = tuple(_blend(space, each, other, share) for each in places[start:stop])
    return (*places[:start], *run, *places[stop:]), f"blend {start}:{stop} with {share:g} of {other}"


def retune(space: ArrangementSpace, places: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """Change one hop, damping or share of a blend; one of them is taken away as often."""
    special = [at for at, each in enumerate(places) if not each.is_plain]
    if not special:
        return repeat(space, places, source)
    at = special[int(source.integers(len(special)))]
    place, keeps = places[at], bool(source.integers(2))
    changed = Place(place.donor, place.layer)
    if keeps and place.other:
        changed = replace(place, share=float(source.choice(SHARES)))
    elif keeps and place.hop != 1.0:
        changed = replace(place, hop=float(source.choice(HOPS)))
    elif keeps:
        changed = replace(place, damp=float(source.choice(DAMPS)))
    return (*places[:at], changed, *places[at + 1 :]), f"retune {at}"


def cross(one: Arrangement, other: Arrangement, source: Random) -> tuple[Arrangement, str]:
    """The beginning of one order and the end of another, joined where both have layers of one number."""
    at = int(source.integers(1, len(one))) if len(one) > 1 else 1
    wanted = one[at - 1].layer + 1
    joints = [place for place, each in enumerate(other) if each.layer == wanted]
    if not joints:
        return one, "crossed nowhere"
    joint = joints[int(source.integers(len(joints)))]
    return (*one[:at], *other[joint:]), f"cross at {at}"


def _take(space: ArrangementSpace, place: Place, donor: str) -> Place:
    if place.layer >= space.depths[donor]:
        return place
    return replace(place, donor=donor, other="", share=0.0)


def _blend(space: ArrangementSpace, place: Place, other: str, share: float) -> Place:
    if place.layer >= space.depths[other] or place.donor == other:
        return place
    return replace(place, other=other, share=share)


MOVES: tuple[Move, ...] = (repeat, drop, move, substitute, substitute, shift, blend, retune)
"""All changes; taking layers from another donor is listed twice, because it harms least."""
