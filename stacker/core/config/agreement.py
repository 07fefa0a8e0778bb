"""Compares the configs of two donors to tell whether layers from both fit into one stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacker.arch.dimensions import collect_names, compute_dimensions
from stacker.arch.files.architecture import Architecture
from stacker.arch.files.formula import find_names
from stacker.arch.layer_rules import list_written_keys
from stacker.core.config.keys import DEPTH_KEYS, GEOMETRY_KEYS, is_bookkeeping
from stacker.core.config.rotary import ROTARY_KEYS, read_rotary_parameters
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, Severity
from stacker.formats.json_object import Json


def compare_donors(template: Donor, donor: Donor) -> Iterator[Problem]:
    """Yield a problem for each difference between the configs of `donor` and `template`; the stack uses the template's.

    Differences in sizes and structure are errors. Other differences, such as the rotary base, are warnings, since the
    donor's layers were trained with another value.
    """
    ours, theirs = (collect_names(each.architecture, each.config) for each in (template, donor))
    if template.architecture.name != donor.architecture.name:
        yield _compare_families(template, donor)
    for key in sorted(_keys_to_agree(template, donor)):
        if key in ours and key in theirs and ours[key] != theirs[key]:
            yield _difference(template, donor, key, ours[key], theirs[key], Severity.ERROR)
    yield from _warn_of_differences(template, donor, ours, theirs)


def _compare_families(template: Donor, donor: Donor) -> Problem:
    """The problem to report for two donors of different model families.

    It is an error if the layers of the two donors have different tensors, and a warning otherwise.
    """
    mine, other = ({t.suffix for t in each.tensors.values() if t.layer is not None} for each in (template, donor))
    names = f"'{donor.name}' is {donor.architecture.name}, '{template.name}' is {template.architecture.name}"
    if mine != other:
        hint = "use donors of one family"
        return Problem(f"{names}, and their layers have different tensors", hint, blame=Blame.DONOR)
    hint = f"the result runs every layer as {template.architecture.name}"
    return Problem(f"{names}", hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _keys_to_agree(template: Donor, donor: Donor) -> set[str]:
    """The names of the config values that must be equal in `template` and `donor`.

    They are the dimensions that the donors' families define, except the vocabulary size, and the keys that the families
    list in `agree`. If neither family defines dimensions, the keys in GEOMETRY_KEYS take their place.
    """
    sized = {name for each in (template, donor) for name in compute_dimensions(each.architecture, each.config)}
    keys = {key for each in (template, donor) for key in each.architecture.agree}
    return (sized or set(GEOMETRY_KEYS)) - {"vocab"} | keys


def _warn_of_differences(
    template: Donor, donor: Donor, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[Problem]:
    yield from _compare_rotary_parameters(template, donor)
    families = (template.architecture, donor.architecture)
    compared = _keys_to_agree(template, donor).union(ROTARY_KEYS, *map(_keys_compared_elsewhere, families))
    for key in sorted((ours.keys() & theirs.keys()) - compared):
        if ours[key] != theirs[key] and not is_bookkeeping(key) and not _is_tower(ours[key]):
            yield _difference(template, donor, key, ours[key], theirs[key], Severity.WARNING)


def _is_tower(value: Json) -> bool:
    """Whether a config entry is the nested config of a tower, such as a vision encoder, which no decoder layer uses."""
    return isinstance(value, dict) and "model_type" in value


def _keys_compared_elsewhere(architecture: Architecture) -> set[str]:
    """Config keys that other checks compare: vocabulary size, depth, dimensions, and keys of per-layer rules."""
    formulas = [architecture.depth, *(formula for _, formula in architecture.dimensions)]
    return {"vocab"} | find_names(formulas) | list_written_keys(architecture) | set(DEPTH_KEYS)


def _compare_rotary_parameters(template: Donor, donor: Donor) -> Iterator[Problem]:
    mine, other = (read_rotary_parameters(each.architecture, each.config) for each in (template, donor))
    differing = sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))
    if differing:
        ours, theirs = ({key: each[key] for key in differing if key in each} for each in (mine, other))
        yield _difference(template, donor, "rotary embedding", ours, theirs, Severity.WARNING)


def _difference(template: Donor, donor: Donor, key: str, ours: Json, theirs: Json, severity: Severity) -> Problem:
    message = f"{key} differs: {ours!r} in '{template.name}', {theirs!r} in '{donor.name}'"
    if severity is Severity.ERROR:
        return Problem(message, "the config has one value for all layers: use donors that agree", blame=Blame.DONOR)
    hint = f"the result gets the value of '{template.name}'; `config: {donor.name}` chooses the other"
    return Problem(message, hint, severity=severity, blame=Blame.DONOR)
