"""Which layers of a donor are alike: tensors of the same names and shapes, the same values of what follows layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stacker.arch.dimensions import names_in
from stacker.arch.model import Json
from stacker.arch.rules import layer_properties
from stacker.core.donor import Donor, DonorTensor

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
