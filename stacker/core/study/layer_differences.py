"""Groups layers of a donor that are alike, and lists what changes at a junction; reads only configs and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.layer_rules import read_layer_properties
from stacker.core.config.rotary import read_rotary_parameters
from stacker.core.stack.graph import Junction
from stacker.core.stack.nodes import Feed
from stacker.core.values.donor import Donor, DonorTensor
from stacker.formats.json_object import Json

Table = Mapping[str, DonorTensor]


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers of a donor with the same config values and tensor shapes; `layers` are their indices.

    `distinction` says in words how the layers differ from the layers of other groups; it is "" if there is only one
    group.
    """

    distinction: str
    layers: tuple[int, ...]
    parameters: int
    """The number of parameters of one layer of the group."""


def group_layers(donor: Donor) -> tuple[LayerGroup, ...]:
    """Group the layers of a donor by config values and tensor shapes; the groups are sorted by their first layers."""
    names = {**collect_names(donor.architecture, donor.config), "depth": donor.depth}
    properties = [read_layer_properties(donor.architecture.rules, names, index) for index in range(donor.depth)]
    tables = donor.layers()
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, (values, table) in enumerate(zip(properties, tables, strict=True)):
        groups.setdefault((_hashable(values), _shapes(table)), []).append(index)
    firsts = [layers[0] for layers in groups.values()]
    return tuple(
        LayerGroup(
            _describe(layers[0], firsts, properties, tables),
            tuple(layers),
            sum(tensor.spec.elements for tensor in tables[layers[0]].values()),
        )
        for layers in groups.values()
    )


def _hashable(values: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def _shapes(table: Table) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((suffix, tensor.spec.shape) for suffix, tensor in table.items())


def _describe(
    index: int, firsts: Sequence[int], properties: Sequence[Mapping[str, Json]], tables: Sequence[Table]
) -> str:
    """Say how layer `index` differs from the first layers of other groups; `firsts` has the first layer of each group.

    For every layer, `properties` has the config values to compare and `tables` the tensors. The text is "other shapes"
    if config values and tensor roles are equal, and "" if there is no other group.
    """
    others = [first for first in firsts if first != index]
    values = [
        f"{name}: {value}"
        for name, value in properties[index].items()
        if any(properties[other].get(name) != value for other in others)
    ]
    roles = {first: {tensor.role for tensor in tables[first].values()} for first in firsts}
    own = sorted(role for role in roles[index] if any(role not in roles[other] for other in others))
    parts = [*values, *([f"with {', '.join(own)}"] if own else [])]
    return "; ".join(parts) if parts or not others else "other shapes"


def find_changes(junction: Junction, donors: Mapping[str, Donor]) -> tuple[tuple[str, Json, Json], ...]:
    """List what differs between the two donor layers at a junction, such as the donor or the attention type.

    Each change is (name, value before, value after); a missing value is None.
    """
    return tuple(_changes(junction, donors))


def _changes(junction: Junction, donors: Mapping[str, Donor]) -> Iterator[tuple[str, Json, Json]]:
    before, after = junction.before, junction.after
    if before.donor != after.donor:
        yield "donor", before.donor, after.donor
    old, new = (_layer_values(feed, donors[feed.donor]) for feed in (before, after))
    for name in old | new:
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)
    old, new = (_rotary_parameters(donors[feed.donor]) for feed in (before, after))
    for key in old | new:
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _rotary_parameters(donor: Donor) -> dict[str, Json]:
    return read_rotary_parameters(donor.architecture, donor.config)


def _layer_values(feed: Feed, donor: Donor) -> dict[str, Json]:
    """The per-layer config values of a donor layer, such as its attention type."""
    names = {**_names(donor), "depth": donor.depth}
    return read_layer_properties(donor.architecture.rules, names, feed.layer or 0)


def _names(donor: Donor) -> dict[str, Any]:
    return collect_names(donor.architecture, donor.config)
