"""A family's file from samples: names, roles, sizes, and when each tensor is there, over the file of a relative."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import depth_of, names_in
from stacker.arch.document import entries_of, read_entries, text_of
from stacker.arch.formula import FormulaError, parse_formula
from stacker.arch.guesses import guess_layer_role, guess_outside_role
from stacker.arch.inference import infer_architecture
from stacker.arch.model import Architecture, LayerRule
from stacker.arch.parser import parse_formulas
from stacker.arch.placement import prefix_pattern
from stacker.arch.rules import layer_properties
from stacker.arch.table import packaged_text
from stacker.tensors import Dtype, TensorSpec
from tools.derive.samples import Sample
from tools.derive.sizes import formula_for

PARENT = "llama"
MOE_DIMENSIONS = {
    "experts": "num_local_experts | num_experts | n_routed_experts",
    "expert_ffn": "moe_intermediate_size | intermediate_size",
}
_EXPERT = re.compile(r"(?<=experts)\.\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Parts:
    """A draft's sections as texts by name."""

    embed: dict[str, str]
    layer: dict[str, str]
    head: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The samples of several sizes and of turned switches, with what inference says of the family."""

    family: Architecture
    sized: Sequence[Sample]
    switched: Sequence[Sample]
    names: Sequence[Mapping[str, Any]]


def see(sized: Sequence[Sample], switched: Sequence[Sample]) -> _Seen:
    """The family as inferred, and the names that formulas may use in each sample."""
    first = sized[0]
    specs = {name: TensorSpec(name, Dtype.F32, shape) for name, shape in first.shapes.items()}
    family = infer_architecture(first.config, specs)
    return _Seen(family, sized, switched, [_names(sample.config) for sample in sized])


def _names(config: Mapping[str, Any]) -> dict[str, Any]:
    entries = read_entries(packaged_text(PARENT), PARENT)
    found = dict(config)
    moe = ((key, parse_formula(text)) for key, text in MOE_DIMENSIONS.items())
    formulas = [*parse_formulas(entries, "dimensions"), *moe]
    for key, formula in formulas:
        try:
            found[key] = formula.value(found)
        except FormulaError:
            continue
    return found


def draft_parts(seen: _Seen) -> Parts:
    """The tensors of each part, in the order in which they are saved."""
    layer = prefix_pattern(seen.family.prefix)
    inside: dict[str, list[int]] = {}
    parts = Parts({}, {}, {})
    for name in seen.sized[0].shapes:
        found = layer.fullmatch(name)
        if found:
            inside.setdefault(_EXPERT.sub(".{e}", found[2]), []).append(int(found[1]))
        else:
            role = guess_outside_role(name)
            part = parts.embed if role.startswith("embed") else parts.head
            part[name] = f"{role} {_shape(seen, name)}{_switch(seen, name)}"
    for suffix, layers in inside.items():
        parts.layer[suffix] = _layer_tensor(seen, suffix, sorted(set(layers)))
    for sample in seen.switched:
        for suffix in _added(seen, sample):
            parts.layer.setdefault(suffix, _added_tensor(seen, sample, suffix))
    return parts


def _layer_tensor(seen: _Seen, suffix: str, layers: Sequence[int]) -> str:
    name = _full(seen, suffix, layers[0])
    count = " for e in experts" if "{e}" in suffix else ""
    conditions = [*_when(seen, layers), *_flags(seen, name)]
    condition = f" if {' and '.join(conditions)}" if conditions else ""
    shape = _shape(seen, name, _relative_sizes("layer", suffix))
    return f"{guess_layer_role(suffix.replace('{e}', '0'))} {shape}{count}{condition}"


def _full(seen: _Seen, suffix: str, layer: int) -> str:
    return seen.family.prefix.replace("{i}", str(layer)) + suffix.replace("{e}", "0")


def _shape(seen: _Seen, name: str, likely: Sequence[str] = ()) -> str:
    """The sizes of a tensor, the relative's where they fit."""
    sizes = list(zip(*(sample.shapes[name] for sample in seen.sized), strict=True))
    tried = likely if len(likely) == len(sizes) else [""] * len(sizes)
    found = [formula_for(size, seen.names, first) for size, first in zip(sizes, tried, strict=True)]
    return f"[{', '.join(text or f'UNKNOWN_{size[0]}' for text, size in zip(found, sizes, strict=True))}]"


def _relative_sizes(section: str, name: str) -> list[str]:
    found = re.search(r"\[(.*?)\]", parent_sections()[section].get(name, ""))
    return found[1].split(", ") if found else []


def _when(seen: _Seen, layers: Sequence[int]) -> Iterator[str]:
    """The property of layers that tells those which have a tensor from those which have none."""
    config = seen.sized[0].config
    depth = depth_of(seen.family, config)
    if len(layers) == depth:
        return
    names = {**names_in(seen.family, config), "depth": depth}
    told = [layer_properties(seen.family.rules, names, index) for index in range(depth)]
    for rule in seen.family.rules:
        values = [properties.get(rule.name) for properties in told]
        mine = {str(values[index]) for index in layers}
        others = {str(values[index]) for index in range(depth) if index not in layers}
        if not mine & others:
            yield _is(rule.name, [values[index] for index in layers], others)
            return
    yield f"UNKNOWN in {list(layers)}"


def _is(name: str, mine: Sequence[Any], others: set[str]) -> str:
    if isinstance(mine[0], bool):
        return name if mine[0] else f"not {name}"
    kinds = list(dict.fromkeys(mine))
    if len(kinds) == 1:
        return f'{name} == "{kinds[0]}"'
    return f'{name} != "{next(iter(others))}"' if len(others) == 1 else f"{name} in {kinds}"


def _flags(seen: _Seen, name: str) -> list[str]:
    """The switches without which a tensor is not there."""
    gone = [sample.switch for sample in seen.switched if name not in sample.shapes]
    return [key if seen.sized[0].config[key] else f"not {key}" for key in gone]


def _switch(seen: _Seen, name: str) -> str:
    flags = _flags(seen, name)
    return f" if {' and '.join(flags)}" if flags else ""


def _added(seen: _Seen, sample: Sample) -> list[str]:
    layer = prefix_pattern(seen.family.prefix)
    found = [layer.fullmatch(name) for name in sample.shapes if name not in seen.sized[0].shapes]
    return list(dict.fromkeys(_EXPERT.sub(".{e}", match[2]) for match in found if match))


def _added_tensor(seen: _Seen, sample: Sample, suffix: str) -> str:
    """A tensor that a turned switch brings; its sizes are known in one sample only."""
    layers = [i for i in range(depth_of(seen.family, sample.config)) if _full(seen, suffix, i) in sample.shapes]
    shape = sample.shapes[_full(seen, suffix, layers[0])]
    sizes = [_like_weight(seen, suffix, layers[0]) or formula_for([size], seen.names[:1]) for size in shape]
    flag = sample.switch if sample.config[sample.switch] else f"not {sample.switch}"
    conditions = " and ".join([*_when(seen, layers), flag])
    count = " for e in experts" if "{e}" in suffix else ""
    return f"{guess_layer_role(suffix.replace('{e}', '0'))} [{', '.join(map(str, sizes))}]{count} if {conditions}"


def _like_weight(seen: _Seen, suffix: str, layer: int) -> str | None:
    """A bias is as long as its weight is high."""
    weight = _full(seen, suffix.removesuffix("bias") + "weight", layer)
    if not suffix.endswith("bias") or weight not in seen.sized[0].shapes:
        return None
    name = suffix.removesuffix("bias") + "weight"
    return _shape(seen, weight, _relative_sizes("layer", name))[1:-1].split(", ")[0]


def followed(seen: _Seen) -> list[LayerRule]:
    """What of the config follows the layers, as inferred."""
    return list(seen.family.rules)


def parent_sections() -> dict[str, dict[str, str]]:
    """The relative's entries of each section, as texts."""
    entries = read_entries(packaged_text(PARENT), PARENT)
    sections = ("embed", "layer", "head", "dimensions")
    return {key: {name: text_of(node) for name, node in entries_of(entries[key]).items()} for key in sections}
