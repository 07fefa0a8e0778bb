"""Compares two donors by config entries and by names, shapes and element types of tensors. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stacker.arch.files.architecture import Config
from stacker.arch.placement import compile_prefix
from stacker.core.values.donor import Donor
from stacker.errors import ranges_text
from stacker.formats.json_object import Json
from stacker.tensors import TensorSpec

Entry = tuple[str, Json, Json]
ABSENT = "—"


@dataclass(frozen=True, slots=True)
class Change:
    """A tensor that both donors have, with different shapes or element types.

    `one` describes the tensor in the first donor, and `other` in the second.
    """

    name: str
    one: TensorSpec
    other: TensorSpec


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two donors: config entries, tensors that only one donor has, and changed tensors.

    A config entry is listed as (name, value in the first donor, value in the second donor), with ABSENT for a missing
    value.
    """

    config: tuple[Entry, ...]
    only_one: tuple[TensorSpec, ...]
    only_other: tuple[TensorSpec, ...]
    changed: tuple[Change, ...]
    alike: int
    """The number of tensors with the same name, shape and element type."""

    @property
    def is_empty(self) -> bool:
        return not (self.config or self.only_one or self.only_other or self.changed)


def find_difference(one: Donor, other: Donor) -> Difference:
    """Compare two donors by config entries and by the names, shapes and element types of their tensors."""
    ours, theirs = ({name: tensor.spec for name, tensor in donor.tensors.items()} for donor in (one, other))
    both = [name for name in ours if name in theirs]
    changed = [Change(name, ours[name], theirs[name]) for name in both if not _is_same(ours[name], theirs[name])]
    return Difference(
        tuple(_changed_entries(one.config, other.config)),
        tuple(spec for name, spec in ours.items() if name not in theirs),
        tuple(spec for name, spec in theirs.items() if name not in ours),
        tuple(changed),
        len(both) - len(changed),
    )


def _is_same(one: TensorSpec, other: TensorSpec) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape)


def _changed_entries(one: Config, other: Config, path: str = "") -> Iterable[Entry]:
    """Yield entries that differ as (name, value in `one`, value in `other`); nested entries have dotted names."""
    for key in dict.fromkeys((*one, *other)):
        mine, theirs = one.get(key, ABSENT), other.get(key, ABSENT)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from _changed_entries(mine, theirs, f"{path}{key}.")
        elif mine != theirs:
            yield f"{path}{key}", mine, theirs


def join_layers(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Merge tensor names that differ only in the layer number, which becomes `{i}`.

    Returns the layer numbers of each merged name as text, such as `40–79`, or "" if the tensor is outside the layers.
    """
    pattern = compile_prefix(prefix)
    layers_of: dict[str, list[int]] = {}
    for name in names:
        match = pattern.fullmatch(name)
        layers = layers_of.setdefault(f"{prefix}{match[2]}" if match else name, [])
        if match:
            layers.append(int(match[1]))
    return {name: ranges_text(sorted(layers)) for name, layers in layers_of.items()}
