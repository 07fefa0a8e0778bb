"""Finds the layer and the role of each tensor of a donor, and lists the tensors that a config implies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any

from stacker.arch.conventions import find_ignored_reason, guess_layer_role, guess_outside_role
from stacker.arch.dimensions import collect_names, count_layers, count_prediction_layers, select_text_config
from stacker.arch.files.architecture import Architecture, Config, Part, TensorTemplate
from stacker.arch.files.formula import Formula, FormulaError
from stacker.arch.layer_names import format_tensor_name, match_outside_name
from stacker.arch.layer_rules import read_layer_properties
from stacker.errors import DonorError, escape_text
from stacker.tensors import CONFIG_DTYPES, Dtype, TensorSpec

MOST_TENSORS = 200_000
"""The most tensors that a config may imply; the largest published checkpoints have fewer than 150,000."""
_EXPERT = re.compile(r"\.\d+(?=\.|$)")
_EACH = re.compile(r"\be\b")
"""Matches the text of a formula that uses the expert index `e`."""


@dataclass(frozen=True, slots=True)
class TensorPlacement:
    """Says where a model uses a tensor: its part, its layer and its role.

    `suffix` is the tensor's name without the layer prefix. `ignored` is the reason why the tensor is left out of every
    stack, or "" if the tensor is kept.
    """

    name: str
    part: Part
    role: str
    layer: int | None = None
    """The index of the layer; None for a tensor outside the layers or a tensor that has a part for each layer."""
    suffix: str = ""
    """Empty for a tensor outside the layers; may contain `{i}` (see `layer_names`)."""
    ignored: str = ""


def place_tensors(
    architecture: Architecture, config: Config, tensors: Mapping[str, TensorSpec]
) -> dict[str, TensorPlacement]:
    """Find the placement of each tensor of a donor; the keys are the tensors' names in the donor."""
    templates = {template.name: template for template in architecture.tensors}
    layers = compile_prefix(architecture.prefix)
    extra = _prediction_layers(architecture, config)
    siblings = _list_siblings(tensors, layers)
    placed = {}
    for name in tensors:
        place = _place_tensor(name, templates, layers, architecture, siblings)
        placed[name] = _mark_ignored(place, architecture, listed=_template_name(place) in templates, extra=extra)
    return placed


def compile_prefix(prefix: str) -> re.Pattern[str]:
    """Compile a layer prefix such as "model.layers.{i}." to a pattern for names of tensors in layers.

    Group 1 of the pattern matches the layer index, group 2 the rest of the name.
    """
    return re.compile(re.escape(prefix).replace(r"\{i\}", r"(\d+)") + "(.*)")


def replace_expert_number(name: str) -> str:
    """Replace the expert index in a name: "mlp.experts.7.up.weight" becomes "mlp.experts.{e}.up.weight"."""
    return _EXPERT.sub(".{e}", name, count=1)


def _list_siblings(names: Iterable[str], layers: re.Pattern[str]) -> dict[Part, frozenset[str]]:
    """The names of the tensors in layers, without the prefix and expert numbers, and of those outside the layers."""
    inside, outside = set(), set()
    for name in names:
        found = layers.fullmatch(name)
        if found:
            inside.add(replace_expert_number(found[2]))
        else:
            outside.add(name)
    return {Part.LAYER: frozenset(inside), Part.EMBED: frozenset(outside)}


def _place_tensor(
    name: str,
    templates: Mapping[str, TensorTemplate],
    layers: re.Pattern[str],
    architecture: Architecture,
    siblings: Mapping[Part, frozenset[str]],
) -> TensorPlacement:
    found = layers.fullmatch(name)
    if found:
        suffix = found[2]
        template = templates.get(suffix) or templates.get(replace_expert_number(suffix))
        role = template.role if template else guess_layer_role(suffix, siblings[Part.LAYER])
        return TensorPlacement(name, Part.LAYER, role, int(found[1]), suffix)
    apart = match_outside_name(name, architecture.apart)
    template = templates.get(apart[1] if apart else name) or templates.get(name)
    role = template.role if template else guess_outside_role(name, architecture.inner, siblings[Part.EMBED])
    if apart:
        return TensorPlacement(name, Part.LAYER, role, *apart)
    if template:
        return TensorPlacement(name, template.part, role)
    return TensorPlacement(name, Part.EMBED if role.startswith("embed") else Part.HEAD, role)


def _template_name(place: TensorPlacement) -> str:
    return replace_expert_number(place.suffix) if place.layer is not None else place.name


def _mark_ignored(place: TensorPlacement, architecture: Architecture, *, listed: bool, extra: range) -> TensorPlacement:
    """Return the placement, with the reason in `ignored` if the tensor has to be left out of every stack.

    `listed` says whether the architecture file describes the tensor; `extra` contains the indices of the
    multi-token-prediction layers.
    """
    reason = next((why for pattern, why in architecture.ignored if fnmatchcase(place.name, pattern)), "")
    if not reason and place.layer is not None and place.layer in extra:
        reason = "it belongs to a multi-token-prediction layer, which a stack does not have"
    if not reason and not listed:
        reason = find_ignored_reason(place.name)
    return TensorPlacement(place.name, place.part, place.role, place.layer, place.suffix, reason) if reason else place


def _prediction_layers(architecture: Architecture, config: Config) -> range:
    """The indices of multi-token-prediction layers, which follow the layers that the config counts."""
    count = count_prediction_layers(select_text_config(architecture, config))
    depth = count_layers(architecture, config)
    return range(depth, depth + count)


def list_expected_tensors(architecture: Architecture, config: Config) -> tuple[TensorSpec, ...]:
    """The tensors that a donor with this config must have, in model order.

    DonorError if the architecture lists no tensors, the config does not state the size of a tensor, or the config
    implies more than MOST_TENSORS tensors.
    """
    if not architecture.tensors:
        message = f"what tensors '{architecture.name}' has is not known without its weights"
        raise DonorError.of(message, "give the donor's weights, or describe the family in architectures/")
    return _instantiate_all([t for t in architecture.tensors if not t.optional], architecture, config)


def list_optional_tensors(architecture: Architecture, config: Config) -> tuple[TensorSpec, ...]:
    """The tensors that a donor with this config may have or lack, in model order.

    DonorError if the config does not state the size of a tensor, or implies more than MOST_TENSORS tensors.
    """
    return _instantiate_all([t for t in architecture.tensors if t.optional], architecture, config)


def _instantiate_all(
    templates: Sequence[TensorTemplate], architecture: Architecture, config: Config
) -> tuple[TensorSpec, ...]:
    found = tuple(islice(_instantiate_parts(templates, architecture, config), MOST_TENSORS + 1))
    if len(found) > MOST_TENSORS:
        raise _make_size_error()
    return found


def _make_size_error() -> DonorError:
    hint = "look for a number of layers or experts in it that is far too large"
    return DonorError.of(f"config.json describes more than {MOST_TENSORS:,} tensors", hint)


def _instantiate_parts(
    templates: Sequence[TensorTemplate], architecture: Architecture, config: Config
) -> Iterator[TensorSpec]:
    names = collect_names(architecture, config)
    depth = count_layers(architecture, config)
    dtype = CONFIG_DTYPES.get(str(names.get("dtype") or names.get("torch_dtype")), Dtype.F32)
    parts = {part: [t for t in templates if t.part is part] for part in Part}
    whole = {**names, "depth": depth}
    tied = {name for name, _ in architecture.tied} if names.get("tie_word_embeddings") else set()
    yield from _instantiate(parts[Part.EMBED], str, whole, dtype)
    for index in range(depth):
        inside = whole | read_layer_properties(architecture.rules, whole, index) | {"i": index}
        yield from _instantiate(
            parts[Part.LAYER], partial(format_tensor_name, architecture.prefix, index), inside, dtype
        )
    yield from _instantiate((t for t in parts[Part.HEAD] if t.name not in tied), str, whole, dtype)


def _instantiate(
    templates: Iterable[TensorTemplate], named: Callable[[str], str], names: Mapping[str, Any], dtype: Dtype
) -> Iterator[TensorSpec]:
    for template in templates:
        varies = template.when is not None and _EACH.search(template.when.text)
        if not varies and not _is_present(template.when, names):
            continue
        shape = tuple(_compute_size(size, template.name, names) for size in template.shape)
        count = _compute_size(template.count, template.name, names) if template.count else 1
        if count * (names["depth"] if template.part is Part.LAYER else 1) > MOST_TENSORS:
            raise _make_size_error()
        for number in range(count):
            if varies and not _is_present(template.when, {**names, "e": number}):
                continue
            yield TensorSpec(named(template.name.replace("{e}", str(number))), template.dtype or dtype, shape)


def _is_present(when: Formula | None, names: Mapping[str, Any]) -> bool:
    try:
        return when is None or bool(when.value(names))
    except FormulaError:
        return False


def _compute_size(formula: Formula, tensor: str, names: Mapping[str, Any]) -> int:
    try:
        value = formula.value(names)
    except FormulaError as error:
        raise DonorError.of(f"config.json does not say how large {tensor} is: {error}") from error
    if value is None:
        raise DonorError.of(f"config.json does not say how large {tensor} is: '{formula.text}' is null")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DonorError.of(
            f"config.json makes {tensor} of size {escape_text(repr(value))} ({formula.text})", "sizes are whole numbers"
        )
    return value


def list_layers(placements: Iterable[TensorPlacement]) -> Sequence[int]:
    """The indices, in ascending order, of the layers with at least one tensor that is not ignored."""
    return sorted({place.layer for place in placements if place.layer is not None and not place.ignored})
