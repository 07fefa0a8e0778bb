"""Groups layers of a donor that are alike, and lists what changes at a junction; reads only configs and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from stacker.arch.dimensions import collect_names
from stacker.arch.layer_rules import read_layer_properties
from stacker.core.config.rotary import read_rotary_parameters
from stacker.core.stack.graph import Junction
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


Change = tuple[str, Json, Json]
"""What differs at a junction: a name, the value before the junction and the value after it (None: no value)."""


def find_changes(junctions: Iterable[Junction], donors: Mapping[str, Donor]) -> dict[int, tuple[Change, ...]]:
    """List what differs between the two donor layers at each junction, such as the donor or the attention type.

    The keys are the indices of the junctions.
    """
    values = {name: _LayerValues(donor) for name, donor in donors.items()}
    return {junction.index: tuple(_changes(junction, values)) for junction in junctions}


class _LayerValues:
    """The config values of one donor that may differ between layers; a layer's values are computed only once."""

    def __init__(self, donor: Donor) -> None:
        names = collect_names(donor.architecture, donor.config)
        self.rotary = read_rotary_parameters(donor.architecture, donor.config)
        self.of_layer = cache(partial(read_layer_properties, donor.architecture.rules, {**names, "depth": donor.depth}))


def _changes(junction: Junction, values: Mapping[str, _LayerValues]) -> Iterator[Change]:
    before, after = junction.before, junction.after
    if before.donor != after.donor:
        yield "donor", before.donor, after.donor
    yield from _compare(*(values[feed.donor].of_layer(feed.layer or 0) for feed in (before, after)))
    yield from _compare(*(values[feed.donor].rotary for feed in (before, after)))


def _compare(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Change]:
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)
