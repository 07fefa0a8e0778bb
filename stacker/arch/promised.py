"""The tensors a donor should have, where its family stores the same weights under other names or fused now and then.

A tensor that may be absent (`?` in a file) and is there stands for those of its layer that have its role, or a part of
it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from stacker.arch.model import Architecture, Config
from stacker.arch.placement import Placement, expected_tensors, optional_tensors, place_tensors
from stacker.arch.roles import base_role
from stacker.tensors import TensorSpec

PARTS: dict[str, tuple[str, ...]] = {
    "mlp.gate_up": ("mlp.gate", "mlp.up"),
    "attn.qkv": ("attn.q", "attn.k", "attn.v"),
    "attn.kv": ("attn.k", "attn.v"),
}
"""Roles that are others in one."""


def promised_tensors(architecture: Architecture, config: Config, there: Container[str]) -> dict[str, TensorSpec]:
    """What a config promises of a donor that has the tensors `there`, by name; DonorError as of `expected_tensors`."""
    expected = {spec.name: spec for spec in expected_tensors(architecture, config)}
    chosen = {spec.name: spec for spec in optional_tensors(architecture, config) if spec.name in there}
    places = place_tensors(architecture, config, expected | chosen) if chosen else {}
    stood_for = {(places[name].layer, role) for name in chosen for role in _roles(places[name])}
    kept = {
        name: spec
        for name, spec in expected.items()
        if name in there or not chosen or (places[name].layer, places[name].role) not in stood_for
    }
    return kept | chosen


def _roles(place: Placement) -> Iterator[str]:
    """The role of a tensor, and those that it holds in one."""
    yield place.role
    base = base_role(place.role)
    yield from (place.role.replace(base, part, 1) for part in PARTS.get(base, ()))
