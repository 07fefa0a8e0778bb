"""Whether two donors' layers can meet in one stack: what their configs say of sizes, switches, rotary_parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from stacker.arch.dimensions import dimensions_in, names_in
from stacker.arch.files.architecture import Architecture
from stacker.core.config.keys import DEPTH_KEYS, GEOMETRY_KEYS, ROPE_KEYS, is_bookkeeping
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, Severity
from stacker.formats.json_object import Json


def compare_donors(template: Donor, donor: Donor) -> Iterator[Problem]:
    """What differs between the donor whose config a stack takes and one that gives layers to it.

    Errors are what the config cannot say twice (sizes, switches of structure), warnings what the donor's layers were
    trained with and will not find (rotary base, epsilon, activation, window).
    """
    here, there = (names_in(each.architecture, each.config) for each in (template, donor))
    if template.architecture.name != donor.architecture.name:
        yield _compare_families(template, donor)
    for key in sorted(_keys_to_agree(template, donor)):
        if key in here and key in there and here[key] != there[key]:
            yield _difference(template, donor, key, here[key], there[key], Severity.ERROR)
    yield from _warn_of_differences(template, donor, here, there)


def _compare_families(template: Donor, donor: Donor) -> Problem:
    """Another family is no error where its layers have the same tensors."""
    mine, other = ({t.suffix for t in each.tensors.values() if t.layer is not None} for each in (template, donor))
    names = f"'{donor.name}' is {donor.architecture.name}, '{template.name}' is {template.architecture.name}"
    if mine != other:
        hint = "donors of one stack must be of one family"
        return Problem(f"{names}, and their layers have other tensors", hint, blame=Blame.DONOR)
    hint = f"the result will run every layer as {template.architecture.name} does"
    return Problem(f"{names}", hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _keys_to_agree(template: Donor, donor: Donor) -> set[str]:
    """The dimensions but the vocabulary, and the family's own switches; for unknown families, keys of that meaning."""
    sized = {name for each in (template, donor) for name in dimensions_in(each.architecture, each.config)}
    keys = {key for each in (template, donor) for key in each.architecture.agree}
    return (sized or set(GEOMETRY_KEYS)) - {"vocab"} | keys


def _warn_of_differences(
    template: Donor, donor: Donor, here: Mapping[str, Any], there: Mapping[str, Any]
) -> Iterator[Problem]:
    if rotary_parameters(here) != rotary_parameters(there):
        yield _difference(
            template, donor, "rotary embedding", rotary_parameters(here), rotary_parameters(there), Severity.WARNING
        )
    spoken = (
        _keys_compared_elsewhere(template.architecture)
        | _keys_compared_elsewhere(donor.architecture)
        | _keys_to_agree(template, donor)
        | ROPE_KEYS
    )
    for key in sorted((here.keys() & there.keys()) - spoken):
        if here[key] != there[key] and not is_bookkeeping(key) and not _is_tower(here[key]):
            yield _difference(template, donor, key, here[key], there[key], Severity.WARNING)


def _is_tower(value: Json) -> bool:
    """Whether an entry is the config of another model: a wrapper's towers are no part of layers."""
    return isinstance(value, dict) and "model_type" in value


def _keys_compared_elsewhere(architecture: Architecture) -> set[str]:
    """Keys that are compared as something else: what follows the layers, the depth, what dimensions are made of."""
    formulas = [architecture.depth, *(formula for _, formula in architecture.dimensions)]
    inside = {node.id for formula in formulas for node in ast.walk(formula.tree) if isinstance(node, ast.Name)}
    followed = {key for rule in architecture.rules for key in (rule.key, *rule.drop, *dict(rule.put), *dict(rule.over))}
    return {"vocab"} | inside | followed | {key for key, _ in architecture.sized} | set(DEPTH_KEYS)


def rotary_parameters(names: Mapping[str, Any]) -> dict[str, Json]:
    """Rotary parameters in one form, whichever of the published styles a config has."""
    found: dict[str, Json] = {}
    for key in ("rope_scaling", "rope_parameters"):
        entry = names.get(key)
        found |= entry if isinstance(entry, dict) else {}
    if "type" in found:
        found.setdefault("rope_type", found.pop("type"))
    theta = names.get("rope_theta") or names.get("rotary_emb_base")
    if theta is not None:
        found.setdefault("rope_theta", theta)
    found.setdefault("rope_type", "default")
    return found


def _difference(template: Donor, donor: Donor, key: str, here: Json, there: Json, severity: Severity) -> Problem:
    message = f"{key} differs: {here!r} in '{template.name}', {there!r} in '{donor.name}'"
    if severity is Severity.ERROR:
        return Problem(message, "one config has one value for all layers: take donors that agree", blame=Blame.DONOR)
    hint = f"the result has that of '{template.name}'; `config: {donor.name}` takes the other"
    return Problem(message, hint, severity=severity, blame=Blame.DONOR)
