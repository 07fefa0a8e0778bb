"""What differs between the two layers that meet at a junction: donor, kind of layer, rotary parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacker.arch.dimensions import names_in
from stacker.arch.model import Json
from stacker.arch.rules import layer_properties
from stacker.core.agreement import rotation
from stacker.core.donor import Donor
from stacker.core.graph import Junction
from stacker.core.nodes import Feed


def crossed(junction: Junction, donors: Mapping[str, Donor]) -> tuple[tuple[str, Json, Json], ...]:
    """What the stream meets anew at a junction: the name of each property, its value before and after."""
    return tuple(_differences(junction, donors))


def _differences(junction: Junction, donors: Mapping[str, Donor]) -> Iterator[tuple[str, Json, Json]]:
    before, after = junction.before, junction.after
    if before.donor != after.donor:
        yield "donor", before.donor, after.donor
    here, there = (layer_kind(feed, donors[feed.donor]) for feed in (before, after))
    for name in here | there:
        if here.get(name) != there.get(name):
            yield name, here.get(name), there.get(name)
    turns = [rotation(_names(donors[feed.donor])) for feed in (before, after)]
    for key in turns[0] | turns[1]:
        if turns[0].get(key) != turns[1].get(key):
            yield key, turns[0].get(key), turns[1].get(key)


def layer_kind(feed: Feed, donor: Donor) -> dict[str, Json]:
    """What the donor's config says of one of its layers by position: its attention, whether it has experts."""
    names = {**_names(donor), "depth": donor.depth}
    return layer_properties(donor.architecture.rules, names, feed.layer or 0)


def _names(donor: Donor) -> dict[str, Any]:
    return names_in(donor.architecture, donor.config)
