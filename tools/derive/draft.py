"""Finds a family's tensors in samples: names, roles, sizes, and the condition under which each tensor exists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.conventions import guess_layer_role, guess_outside_role
from stacker.arch.dimensions import collect_names, count_layers
from stacker.arch.files.architecture import Architecture
from stacker.arch.inference import infer_architecture
from stacker.arch.layer_rules import read_layer_properties
from stacker.arch.placement import compile_prefix
from stacker.tensors import Dtype, TensorSpec
from tools.derive.relative import Relative, names_for
from tools.derive.samples import Samples
from tools.derive.sizes import find_formula

RULE_NAMES = {"first_dense": "dense", "first_dense_layers": "dense", "dense_alone": "dense", "mixer": "attention"}
"""From the names of inferred rules to the names that architecture files use for them."""
_EXPERT = re.compile(r"(?<=experts)\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Parts:
    """The sections of a drafted file; each maps tensor names to the text that describes the tensor."""

    embed: dict[str, str]
    layer: dict[str, str]
    head: dict[str, str]


@dataclass(frozen=True, slots=True)
class Structure:
    """A family as inferred from samples that differ only in sizes; `names` has the names for formulas in each sample.

    `relative` is the family that the draft starts from.
    """

    family: Architecture
    samples: Samples
    names: Sequence[Mapping[str, Any]]
    relative: Relative


def infer_structure(samples: Samples, relative: Relative, dimensions: Mapping[str, str]) -> Structure:
    """Infer the architecture from the first of these samples."""
    first = samples.sized[0]
    specs = {name: TensorSpec(name, Dtype.F32, shape) for name, shape in first.shapes.items()}
    family = infer_architecture(first.config, specs)
    return Structure(family, samples, [names_for(sample, relative, dimensions) for sample in samples.sized], relative)


def draft_parts(usual: Structure, switched: Sequence[Structure]) -> Parts:
    """The tensors of each part in saved order, described for an architecture file.

    Tensors that only exist when an on/off flag is changed come last.
    """
    parts = Parts({}, {}, {})
    for seen in (usual, *switched):
        _add_tensors(parts, seen, [] if seen is usual else [_switch_condition(seen)], switched)
    return parts


def _add_tensors(parts: Parts, seen: Structure, conditions: Sequence[str], switched: Sequence[Structure]) -> None:
    layer = compile_prefix(seen.family.prefix)
    inside: dict[str, list[int]] = {}
    for name in seen.samples.sized[0].shapes:
        found = layer.fullmatch(name)
        if found:
            inside.setdefault(_EXPERT.sub(".{e}", found[2]), []).append(int(found[1]))
            continue
        role = guess_outside_role(name)
        part = parts.embed if role.startswith("embed") else parts.head
        if name not in part:
            part[name] = f"{role} {_shape_text(seen, name)}{_if_text(conditions or _needed(seen, switched, name))}"
    for suffix, layers in inside.items():
        if suffix not in parts.layer:
            parts.layer[suffix] = _layer_tensor(seen, suffix, sorted(set(layers)), conditions, switched)


def _layer_tensor(
    seen: Structure,
    suffix: str,
    layers: Sequence[int],
    conditions: Sequence[str],
    switched: Sequence[Structure],
) -> str:
    name = seen.family.prefix.replace("{i}", str(layers[0])) + suffix.replace("{e}", "0")
    count = " for e in experts" if "{e}" in suffix else ""
    when = [*_layer_condition(seen, layers), *(conditions or _needed(seen, switched, name))]
    shape = _shape_text(seen, name, _relative_sizes(seen.relative, suffix))
    return f"{guess_layer_role(suffix.replace('{e}', '0'))} {shape}{count}{_if_text(when)}"


def _if_text(conditions: Sequence[str]) -> str:
    return f" if {' and '.join(conditions)}" if conditions else ""


def _shape_text(seen: Structure, name: str, likely: Sequence[str] = ()) -> str:
    """The sizes of a tensor as formulas; formulas in `likely` are tried first, one for each dimension."""
    sizes = list(zip(*(sample.shapes[name] for sample in seen.samples.sized), strict=True))
    tried = likely if len(likely) == len(sizes) else [""] * len(sizes)
    found = [find_formula(size, seen.names, first) for size, first in zip(sizes, tried, strict=True)]
    return f"[{', '.join(text or f'UNKNOWN_{size[0]}' for text, size in zip(found, sizes, strict=True))}]"


def _relative_sizes(relative: Relative, name: str) -> list[str]:
    found = re.search(r"\[(.*?)\]", relative.sections["layer"].get(name, ""))
    return found[1].split(", ") if found else []


def _layer_condition(seen: Structure, layers: Sequence[int]) -> Iterator[str]:
    """The condition on a layer's properties under which it has a tensor; nothing if all layers have the tensor.

    `layers` are the numbers of the layers that have the tensor. The condition is UNKNOWN if no property fits.
    """
    config = seen.samples.sized[0].config
    depth = count_layers(seen.family, config)
    if len(layers) == depth:
        return
    names = {**collect_names(seen.family, config), "depth": depth}
    told = [read_layer_properties(seen.family.rules, names, index) for index in range(depth)]
    for rule in seen.family.rules:
        values = [properties.get(rule.name) for properties in told]
        mine = {str(values[index]) for index in layers}
        others = {str(values[index]) for index in range(depth) if index not in layers}
        if not mine & others:
            yield _property_condition(RULE_NAMES.get(rule.name, rule.name), [values[index] for index in layers], others)
            return
    yield f"UNKNOWN in {list(layers)}"


def _property_condition(name: str, mine: Sequence[Any], others: set[str]) -> str:
    if isinstance(mine[0], bool):
        return name if mine[0] else f"not {name}"
    kinds = list(dict.fromkeys(mine))
    if len(kinds) == 1:
        return f'{name} == "{kinds[0]}"'
    return f'{name} != "{next(iter(others))}"' if len(others) == 1 else f"{name} in {kinds}"


def _switch_condition(seen: Structure) -> str:
    """The condition on the changed on/off flag that is true in this structure and false in the usual one."""
    switch = seen.samples.switch
    return switch if seen.samples.sized[0].config.get(switch) else f"not {switch}"


def _needed(seen: Structure, switched: Sequence[Structure], name: str) -> list[str]:
    """The conditions on on/off flags that must hold for a tensor to exist."""
    gone = [other.samples.switch for other in switched if name not in other.samples.sized[0].shapes]
    return [key if seen.samples.sized[0].config[key] else f"not {key}" for key in gone]
