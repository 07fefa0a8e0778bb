"""What two donors have not in common: entries of their configs, and tensors by name, shape and element type."""

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
    """A tensor that both have, in two forms."""

    name: str
    one: TensorSpec
    other: TensorSpec


@dataclass(frozen=True, slots=True)
class Difference:
    """Config entries with both values (ABSENT where one has none), and tensors that one lacks or has otherwise."""

    config: tuple[Entry, ...]
    only_one: tuple[TensorSpec, ...]
    only_other: tuple[TensorSpec, ...]
    changed: tuple[Change, ...]
    alike: int
    """How many tensors have the same name, shape and element type in both."""

    @property
    def nothing(self) -> bool:
        return not (self.config or self.only_one or self.only_other or self.changed)


def difference(one: Donor, other: Donor) -> Difference:
    """Configs and tensor tables held against each other; no weight is looked at."""
    here, there = ({name: tensor.spec for name, tensor in donor.tensors.items()} for donor in (one, other))
    both = [name for name in here if name in there]
    changed = [Change(name, here[name], there[name]) for name in both if not _same(here[name], there[name])]
    return Difference(
        tuple(_entries(one.config, other.config)),
        tuple(spec for name, spec in here.items() if name not in there),
        tuple(spec for name, spec in there.items() if name not in here),
        tuple(changed),
        len(both) - len(changed),
    )


def _same(one: TensorSpec, other: TensorSpec) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape)


def _entries(one: Config, other: Config, before: str = "") -> Iterable[Entry]:
    """Entries that differ, those inside nested objects by their path."""
    for key in dict.fromkeys((*one, *other)):
        here, there = one.get(key, ABSENT), other.get(key, ABSENT)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            yield from _entries(here, there, f"{before}{key}.")
        elif here != there:
            yield f"{before}{key}", here, there


def by_layers(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Names with their layers run together: `model.layers.{i}.mlp.up_proj.weight` to `40–79`; "" outside layers."""
    pattern = compile_prefix(prefix)
    found: dict[str, list[int]] = {}
    for name in names:
        match = pattern.fullmatch(name)
        layers = found.setdefault(f"{prefix}{match[2]}" if match else name, [])
        if match:
            layers.append(int(match[1]))
    return {name: ranges_text(sorted(layers)) for name, layers in found.items()}
