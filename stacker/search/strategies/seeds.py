"""The orders that an evolution starts with: what has been published, and what a probe expects to do least harm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stacker.measure.probes.edits import Edit, Way, list_edits, order_edits
from stacker.search.results import Proposal
from stacker.search.spaces.arrangement_space import ArrangementSpace
from stacker.search.spaces.arrangements import Arrangement, Place, write_point

EDITS = 6
"""How many repeated and dropped runs of the probe's map are seeds."""
WINDOWS = 5
"""Into how many windows the middle of the stack is divided, each of which is repeated or taken from another donor."""


def list_seeds(space: ArrangementSpace) -> tuple[Proposal, ...]:
    """The start, then the seeds without repetition; those of a probe only if the space has distances of states."""
    found: dict[Arrangement, str] = {space.start: "start"}
    for places, how in _list_all(space):
        if not space.find_problem(places):
            found.setdefault(places, how)
    return tuple(Proposal(write_point(places), how) for places, how in found.items())


def _list_all(space: ArrangementSpace) -> Iterator[tuple[Arrangement, str]]:
    yield from _list_windows(space)
    yield from ((places, f"recipe {name}") for name, places in space.list_recipes().items())
    yield from _list_edits(space)


def _list_windows(space: ArrangementSpace) -> Iterator[tuple[Arrangement, str]]:
    """Contiguous windows over the whole stack from each other donor, then those of the middle repeated."""
    count = len(space.start)
    bounds = sorted({round(count * at / WINDOWS) for at in range(WINDOWS + 1)})
    windows = [*itertools.pairwise(bounds)]
    for name, depth in space.depths.items():
        for start, stop in windows:
            run = space.start[start:stop]
            taken = tuple(Place(name, each.layer) for each in run if each.layer < depth)
            if len(taken) == len(run) and taken != run:
                yield (*space.start[:start], *taken, *space.start[stop:]), f"take {start}:{stop} from {name}"
    for start, stop in windows[1:-1]:
        yield (*space.start[:stop], *space.start[start:]), f"repeat {start}:{stop}"


def _list_edits(space: ArrangementSpace) -> Iterator[tuple[Arrangement, str]]:
    """Yield orders in which a run of layers is repeated, then orders without a run, with what was edited as text.

    The runs are those after whose repetition or omission the most similar states meet.
    """
    depth = len(space.start)
    for way in (Way.REPEAT, Way.DROP) if space.distances else ():
        edits = order_edits(list_edits(depth, max(1, depth // 5), ((way, 1.0),)), space.distances)
        yield from ((apply_edit(space.start, each), f"probe: {each}") for each in edits[:EDITS])


def apply_edit(places: Arrangement, edit: Edit) -> Arrangement:
    """An order whose layers [start, stop) are repeated or left out."""
    rest = places[edit.stop :] if edit.way is Way.DROP else places[edit.start :]
    return (*places[: edit.start if edit.way is Way.DROP else edit.stop], *rest)
