"""Whether a donor has the tensors its config promises: all its layers, without a gap, of the right shapes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from stacker.arch.conventions import WRAPPER_ROLE
from stacker.arch.dimensions import count_layers, select_text_config
from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.roles import strip_role_suffixes
from stacker.arch.layer_names import find_split_axis
from stacker.arch.placement import (
    TensorPlacement,
    list_expected_tensors,
    list_layers,
    list_optional_tensors,
    place_tensors,
)
from stacker.errors import Blame, DonorError, Problem, Severity
from stacker.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class _Found:
    """What a donor has and what it should have, by the family's names."""

    there: Mapping[str, TensorSpec]
    expected: Mapping[str, TensorSpec]
    further: frozenset[str]
    """What may be there besides: what is tied, and what a wrapper has beside its language model."""
    absent: frozenset[str]
    """What may be missing whatever the config seems to say: a wrapper has two configs, which may not agree."""


def check_tensors(
    architecture: Architecture,
    config: Config,
    tensors: Mapping[str, TensorSpec],
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Every way in which config and tensors disagree; of an unknown family only the number of layers can be told."""
    yield from _check_layers(architecture, config, placements)
    yield from _check_parts(architecture, config, tensors, placements)
    if not architecture.tensors or select_text_config(architecture, config).get("quantization_config"):
        return
    there = {place.name: tensors[name] for name, place in placements.items() if not place.ignored}
    expected = _expected(architecture, config, there)
    if not expected:
        return
    tied = frozenset(name for name, _ in architecture.tied)
    beside = {place.name for place in placements.values() if architecture.inner and place.role == WRAPPER_ROLE}
    found = _Found(there, expected, tied | beside, tied if architecture.inner else frozenset())
    yield from _check_missing(found)
    yield from _check_shapes(found)
    yield from _check_unlisted(found, architecture.name)


def _expected(architecture: Architecture, config: Config, there: Container[str]) -> Mapping[str, TensorSpec]:
    """What config.json promises; nothing where a wrapper leaves sizes to its program's defaults."""
    try:
        return resolve_expected_tensors(architecture, config, there)
    except DonorError:
        if not architecture.inner:
            raise
        return {}


def _check_parts(
    architecture: Architecture,
    config: Config,
    tensors: Mapping[str, TensorSpec],
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Tables that have a part for each layer can be shared out among them."""
    depth = count_layers(architecture, config)
    for name, place in placements.items():
        axis, shape = find_split_axis(place.suffix), tensors[name].shape
        if place.layer is None and axis is not None and (axis >= len(shape) or shape[axis] % depth):
            message = f"{name} is {list(shape)}: it has no equal part for each of {depth} layers"
            yield _problem(message, "is config.json of this checkpoint?")


def _check_layers(
    architecture: Architecture, config: Config, placements: Mapping[str, TensorPlacement]
) -> Iterator[Problem]:
    depth, layers = count_layers(architecture, config), list_layers(placements.values())
    if not layers:
        message = f"no tensor is called like a layer of '{architecture.name}' ({architecture.prefix}…)"
        yield _problem(message, "is config.json of this checkpoint?")
        return
    beyond = [index for index in layers if index >= depth]
    if beyond:
        message = f"config.json says {depth} layers, but there are tensors of layer {beyond[-1]} (they count from 0)"
        yield _problem(message, "is config.json of this checkpoint?")
    absent = sorted(set(range(depth)) - set(layers))
    if absent:
        these = f"layer{'s' if len(absent) > 1 else ''} {_listed(absent)}"
        message = f"config.json says {depth} layers, but there are no tensors of {these}"
        yield _problem(message, "the checkpoint is incomplete, or config.json is of another one")


def _check_missing(found: _Found) -> Iterator[Problem]:
    missing = [name for name in found.expected if name not in found.there and name not in found.absent]
    if missing:
        message = f"{len(missing)} tensors that config.json promises are missing: {_listed(missing)}"
        yield _problem(message, "the checkpoint is incomplete, or config.json is of another one")


def _check_shapes(found: _Found) -> Iterator[Problem]:
    for name in found.expected.keys() & found.there.keys():
        here, promised = found.there[name].shape, found.expected[name].shape
        if here != promised:
            message = f"{name} has the shape {list(here)}, config.json makes it {list(promised)}"
            yield _problem(message, "transformers will not load this: correct config.json")
            return


def _check_unlisted(found: _Found, family: str) -> Iterator[Problem]:
    unlisted = [name for name in found.there if name not in found.expected and name not in found.further]
    if unlisted:
        message = f"{len(unlisted)} tensors are not those of a '{family}' with this config: {_listed(unlisted)}"
        yield _problem(message, "they are carried along with their layers", Severity.NOTE)


def _problem(message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(message, hint, severity=severity, blame=Blame.DONOR)


def _listed(items: list[str] | list[int], most: int = 3) -> str:
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown}, …"


FUSED_ROLES: dict[str, tuple[str, ...]] = {
    "mlp.gate_up": ("mlp.gate", "mlp.up"),
    "attn.qkv": ("attn.q", "attn.k", "attn.v"),
    "attn.kv": ("attn.k", "attn.v"),
}
"""Roles that are others in one."""


def resolve_expected_tensors(
    architecture: Architecture, config: Config, there: Container[str]
) -> dict[str, TensorSpec]:
    """What a config promises of a donor that has the tensors `there`, by name; DonorError as of `expected_tensors`."""
    expected = {spec.name: spec for spec in list_expected_tensors(architecture, config)}
    chosen = {spec.name: spec for spec in list_optional_tensors(architecture, config) if spec.name in there}
    places = place_tensors(architecture, config, expected | chosen) if chosen else {}
    stood_for = {(places[name].layer, role) for name in chosen for role in _roles(places[name])}
    kept = {
        name: spec
        for name, spec in expected.items()
        if name in there or not chosen or (places[name].layer, places[name].role) not in stood_for
    }
    return kept | chosen


def _roles(place: TensorPlacement) -> Iterator[str]:
    """The role of a tensor, and those that it holds in one."""
    yield place.role
    base = strip_role_suffixes(place.role)
    yield from (place.role.replace(base, part, 1) for part in FUSED_ROLES.get(base, ()))
