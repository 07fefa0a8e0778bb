"""Which layers of a donor are alike: tensors of the same names and shapes, the same values of what follows layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import names_in
from stacker.arch.layer_rules import layer_properties
from stacker.core.config.agreement import rotary_parameters
from stacker.core.stack.graph import Junction
from stacker.core.stack.nodes import Feed
from stacker.core.values.donor import Donor, DonorTensor
from stacker.formats.json_object import Json

Table = Mapping[str, DonorTensor]


@dataclass(frozen=True, slots=True)
class Kind:
    """Layers that are alike; `words` say what sets them apart from the others, "" where all layers are of one kind."""

    words: str
    layers: tuple[int, ...]
    parameters: int
    """Of one such layer."""


def layer_kinds(donor: Donor) -> tuple[Kind, ...]:
    """The kinds of a donor's layers, in the order in which they first occur."""
    names = {**names_in(donor.architecture, donor.config), "depth": donor.depth}
    properties = [layer_properties(donor.architecture.rules, names, index) for index in range(donor.depth)]
    tables = donor.layers()
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, (values, table) in enumerate(zip(properties, tables, strict=True)):
        groups.setdefault((_frozen(values), _shapes(table)), []).append(index)
    firsts = [layers[0] for layers in groups.values()]
    return tuple(
        Kind(
            _words(layers[0], firsts, properties, tables),
            tuple(layers),
            sum(tensor.spec.elements for tensor in tables[layers[0]].values()),
        )
        for layers in groups.values()
    )


def _frozen(values: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def _shapes(table: Table) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((suffix, tensor.spec.shape) for suffix, tensor in table.items())


def _words(index: int, firsts: Sequence[int], properties: Sequence[Mapping[str, Json]], tables: Sequence[Table]) -> str:
    """What the layer has that not all first layers of a kind have: values, then roles of tensors, then shapes."""
    others = [each for each in firsts if each != index]
    values = [
        f"{name}: {value}"
        for name, value in properties[index].items()
        if any(properties[other].get(name) != value for other in others)
    ]
    roles = {each: {tensor.role for tensor in tables[each].values()} for each in firsts}
    own = sorted(role for role in roles[index] if any(role not in roles[other] for other in others))
    said = [*values, *([f"with {', '.join(own)}"] if own else [])]
    return "; ".join(said) if said or not others else "other shapes"


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
    turns = [rotary_parameters(_names(donors[feed.donor])) for feed in (before, after)]
    for key in turns[0] | turns[1]:
        if turns[0].get(key) != turns[1].get(key):
            yield key, turns[0].get(key), turns[1].get(key)


def layer_kind(feed: Feed, donor: Donor) -> dict[str, Json]:
    """What the donor's config says of one of its layers by position: its attention, whether it has experts."""
    names = {**_names(donor), "depth": donor.depth}
    return layer_properties(donor.architecture.rules, names, feed.layer or 0)


def _names(donor: Donor) -> dict[str, Any]:
    return names_in(donor.architecture, donor.config)
