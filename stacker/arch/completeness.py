"""Checks that a donor has every layer and every tensor that its config implies, and that the shapes are as implied."""

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
class _Tensors:
    """The tensors that a donor has (`present`) and the tensors that its config implies (`expected`), by full name.

    The names in `further` may be present but not expected; the names in `optional` may be expected but not present.
    """

    present: Mapping[str, TensorSpec]
    expected: Mapping[str, TensorSpec]
    further: frozenset[str]
    """The names of tied tensors, and of tensors outside a wrapper's language model."""
    optional: frozenset[str]
    """The names of tied tensors of a wrapper, whose two configs may disagree about tying."""


def check_tensors(
    architecture: Architecture,
    config: Config,
    tensors: Mapping[str, TensorSpec],
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Yield the problems of a donor whose config and tensors disagree.

    Names and shapes are only compared if the architecture lists tensors and the donor is not quantised.
    """
    yield from _check_layers(architecture, config, placements)
    yield from _check_tables(architecture, config, tensors, placements)
    if not architecture.tensors or select_text_config(architecture, config).get("quantization_config"):
        return
    present = {place.name: tensors[name] for name, place in placements.items() if not place.ignored}
    expected = _expect_tensors(architecture, config, present)
    if not expected:
        return
    tied = frozenset(name for name, _ in architecture.tied)
    beside = {place.name for place in placements.values() if architecture.inner and place.role == WRAPPER_ROLE}
    compared = _Tensors(present, expected, tied | beside, tied if architecture.inner else frozenset())
    yield from _check_missing(compared)
    yield from _check_shapes(compared)
    yield from _check_unlisted(compared, architecture.name)


def _expect_tensors(architecture: Architecture, config: Config, present: Container[str]) -> Mapping[str, TensorSpec]:
    """The tensors that the config implies, by name; empty if the config of a wrapper does not state all sizes."""
    try:
        return resolve_expected_tensors(architecture, config, present)
    except DonorError:
        if not architecture.inner:
            raise
        return {}


def _check_tables(
    architecture: Architecture,
    config: Config,
    tensors: Mapping[str, TensorSpec],
    placements: Mapping[str, TensorPlacement],
) -> Iterator[Problem]:
    """Yield a problem for each tensor that should be divided equally among the layers but cannot be, by its shape."""
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
        these = f"layer{'s' if len(absent) > 1 else ''} {_list_text(absent)}"
        message = f"config.json says {depth} layers, but there are no tensors of {these}"
        yield _problem(message, "the checkpoint is incomplete, or config.json is of another one")


def _check_missing(tensors: _Tensors) -> Iterator[Problem]:
    missing = [name for name in tensors.expected if name not in tensors.present and name not in tensors.optional]
    if missing:
        message = f"{len(missing)} tensors that config.json promises are missing: {_list_text(missing)}"
        yield _problem(message, "the checkpoint is incomplete, or config.json is of another one")


def _check_shapes(tensors: _Tensors) -> Iterator[Problem]:
    for name, expected in tensors.expected.items():
        here, promised = tensors.present.get(name, expected).shape, expected.shape
        if here != promised:
            message = f"{name} has the shape {list(here)}, config.json makes it {list(promised)}"
            yield _problem(message, "transformers will not load this: correct config.json")
            return


def _check_unlisted(tensors: _Tensors, family: str) -> Iterator[Problem]:
    unlisted = [name for name in tensors.present if name not in tensors.expected and name not in tensors.further]
    if unlisted:
        message = f"{len(unlisted)} tensors are not those of a '{family}' with this config: {_list_text(unlisted)}"
        yield _problem(message, "they are carried along with their layers", Severity.NOTE)


def _problem(message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(message, hint, severity=severity, blame=Blame.DONOR)


def _list_text(items: list[str] | list[int], most: int = 3) -> str:
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown}, …"


FUSED_ROLES: dict[str, tuple[str, ...]] = {
    "mlp.gate_up": ("mlp.gate", "mlp.up"),
    "attn.qkv": ("attn.q", "attn.k", "attn.v"),
    "attn.kv": ("attn.k", "attn.v"),
}
"""The roles of fused tensors, each with the roles of the separate tensors that a fused tensor replaces."""


def resolve_expected_tensors(
    architecture: Architecture, config: Config, present: Container[str]
) -> dict[str, TensorSpec]:
    """The tensors, by name, that a donor with the tensor names `present` should have.

    An optional tensor that is present replaces absent tensors of its layer that have its role or a role fused in it;
    DonorError if the architecture lists no tensors, or the config does not state the size of a tensor.
    """
    expected = {spec.name: spec for spec in list_expected_tensors(architecture, config)}
    chosen = {spec.name: spec for spec in list_optional_tensors(architecture, config) if spec.name in present}
    places = place_tensors(architecture, config, expected | chosen) if chosen else {}
    replaced = {(places[name].layer, role) for name in chosen for role in _covered_roles(places[name])}
    kept = {
        name: spec
        for name, spec in expected.items()
        if name in present or not chosen or (places[name].layer, places[name].role) not in replaced
    }
    return kept | chosen


def _covered_roles(place: TensorPlacement) -> Iterator[str]:
    """Yield the role of the tensor and, for a fused tensor, the roles of the separate tensors that it replaces."""
    yield place.role
    base = strip_role_suffixes(place.role)
    yield from (place.role.replace(base, part, 1) for part in FUSED_ROLES.get(base, ()))
