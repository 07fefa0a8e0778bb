"""Infers the architecture of a family without an architecture file, from a donor's config and tensor names.

If layers differ in ways that the config does not explain, a layer may only move to an index at which the donor has a
layer with tensors of equal names and shapes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stacker.arch.conventions import find_ignored_reason, guess_outside_role, name_tied_heads, read_conventions
from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import CHECK_ONLY, POSITIONAL, Architecture, Config, LayerRule, WriteKind
from stacker.arch.files.formula import find_names, parse_formula
from stacker.arch.layer_names import match_outside_name
from stacker.arch.layer_rules import (
    find_used_formula,
    has_all_values,
    infer_index_rules,
    infer_list_rules,
    is_applicable,
    read_layer_properties,
    read_layer_value,
)
from stacker.arch.model_kind import lacks_head
from stacker.arch.placement import compile_prefix
from stacker.errors import DonorError
from stacker.tensors import TensorSpec

_NUMBERED = re.compile(r"^((?:[^.]+\.)*?)(\d+)\.")
_AROUND = re.compile(r"head|classif|score|pool|label|vision|visual|image|audio|tower|mtp|position")
"""Matches names of tensors outside the layers that have nothing to do with single layers."""
_FEWEST_LAYERS = 4
"""The least number of layers for which a tensor of that size is probably not so large by chance."""
_EXPERT = re.compile(r"\.\d+(?=\.|$)")


@dataclass(frozen=True, slots=True)
class LayerList:
    """Modules numbered from 0 without a gap, such as the layers of a model.

    `prefix` begins the names of the modules' tensors, with `{i}` for the number of the module; `count` is the number of
    modules, and `nbytes` the total size of their tensors.
    """

    prefix: str
    count: int
    nbytes: int


def infer_architecture(config: Config, tensors: Mapping[str, TensorSpec]) -> Architecture:
    """Infer the architecture of a donor.

    DonorError if the family cannot be stacked, if config and tensors do not agree on a number of layers, if layers
    share tensors, or if the tensors of a layer are in several lists of modules.
    """
    name = str(config.get("model_type") or "unknown")
    if reason := dict(read_conventions().refused).get(name):
        raise DonorError.of(f"'{name}' cannot be stacked: {reason}", "take a donor of another family")
    _refuse_shared_layers(config, name)
    bare = Architecture(name, (name,), parse_formula("0"), "", inferred=True)
    lists = list(find_layer_lists(tensors.values()))
    scope, key, layers = _match_depth(config, lists, name)
    _refuse_spread_layers(layers, lists, name)
    inner = find_module_path(layers.prefix) if scope else ""
    tied = () if lacks_head(config, tensors) else _find_tied(tensors, layers.prefix, name, inner)
    conventions = read_conventions()
    apart = tuple(each for each in conventions.apart if any(match_outside_name(tensor, (each,)) for tensor in tensors))
    known = replace(
        bare, depth=parse_formula(key), prefix=layers.prefix, scope=scope, tied=tied, inner=inner, apart=apart
    )
    names = collect_names(known, config)
    depth = int(known.depth.value(names))
    names["depth"] = depth
    candidates = (*conventions.rules, *conventions.around) if inner else conventions.rules
    listed = [rule for rule in candidates if is_applicable(rule, names) and has_all_values(rule, names, depth)]
    nested = config.get(scope)
    own = nested if isinstance(nested, Mapping) else config
    listed = [_keep_stated_entries(rule, own, names) for rule in listed]
    listed += infer_index_rules(own, listed, depth, conventions.numbered)
    rules = [*listed, *infer_list_rules(own, listed, depth, conventions.shared)]
    structure = [*_bind_unexplained(_number_kinds(tensors, known, depth), rules, names)]
    structure += _bind_outside_parts(_list_outside(tensors, known), depth)
    notes = (f"no file describes '{name}': its layers and roles are inferred from names and config",)
    sized = tuple((key, formula) for key, formula in conventions.sized if key in names)
    return replace(known, rules=(*rules, *structure), sized=sized, notes=notes)


def _keep_stated_entries(rule: LayerRule, config: Config, names: Mapping[str, Any]) -> LayerRule:
    """Returns the rule; if it would replace entries of the config by one that the config lacks, as a rule of position.

    Nothing says that programs for a family without a file read the other entry. If a formula names the family, it is
    known to.
    """
    used = find_names([find_used_formula(rule, names)])
    stated = ", ".join(f"'{key}'" for key in sorted(used & config.keys()))
    if rule.write in {*CHECK_ONLY, WriteKind.SOLVE} or not stated or rule.key in config or "model_type" in used:
        return rule
    reason = f"{stated} may say what each layer is, and nothing says that this family also reads '{rule.key}'"
    return replace(rule, key="", write=WriteKind.POSITION, drop=(), put=(), reason=reason)


def _refuse_shared_layers(config: Config, name: str) -> None:
    groups, depth = config.get("num_hidden_groups"), config.get("num_hidden_layers")
    if isinstance(groups, int) and groups != depth:
        message = (
            f"the {depth} layers of this '{name}' donor share the tensors of {groups} groups; they cannot be moved"
        )
        raise DonorError.of(message, "another num_hidden_layers in its config.json makes it deeper or shallower")


def _refuse_spread_layers(layers: LayerList, lists: Sequence[LayerList], name: str) -> None:
    """Raise DonorError if the tensors of a layer are spread over several lists of modules.

    Such lists are in the same module as the list `layers`, and have as many modules as it has.
    """
    start = find_module_path(layers.prefix)
    beside = [each for each in lists if find_module_path(each.prefix) == start and each.count == layers.count]
    if len(beside) > 1:
        there = ", ".join(f"'{each.prefix}'" for each in beside)
        message = f"the tensors of each layer of this '{name}' donor are in several lists of modules: {there}"
        raise DonorError.of(message, "describe the family in architectures/, or take another donor")


def find_module_path(prefix: str) -> str:
    """The name prefix of the module around the layers: "model." for "model.layers.{i}.", and "" for "layers.{i}."."""
    return prefix[: prefix[: prefix.index("{i}") - 1].rfind(".") + 1] if prefix[:1] != "{" else ""


def find_layer_lists(tensors: Iterable[TensorSpec]) -> Iterator[LayerList]:
    """Yield each list of modules whose names differ only in a number and are numbered from 0 without a gap."""
    indices: dict[str, set[int]] = {}
    nbytes: Counter[str] = Counter()
    for tensor in tensors:
        found = _NUMBERED.match(tensor.name)
        if found:
            indices.setdefault(found[1], set()).add(int(found[2]))
            nbytes[found[1]] += tensor.nbytes
    for start, numbers in indices.items():
        if numbers == set(range(len(numbers))):
            yield LayerList(f"{start}{{i}}.", len(numbers), nbytes[start])


def _match_depth(config: Config, layers: Sequence[LayerList], name: str) -> tuple[str, str, LayerList]:
    """Find the config entry that states the number of layers, and the list in `layers` with this number of modules.

    Returns the key of the nested config ("" if not nested), the key of the entry, and the list; if several lists match,
    the list with the most bytes is returned. DonorError, with the model type `name`, if no list matches any entry.
    """
    claims = list(_list_depths(config))
    agreeing = [
        (found.nbytes, scope, key, found)
        for scope, key, depth, further in claims
        for found in layers
        if found.count in (depth, depth + further)
    ]
    if agreeing:
        _, scope, key, found = max(agreeing, key=lambda match: match[0])
        return scope, key, found
    said = ", ".join(f"{key} is {depth}" for _, key, depth, _ in claims) or "no known key for the number of layers"
    there = ", ".join(f"{found.count} under '{found.prefix}'" for found in layers) or "none"
    message = f"config and tensors of this '{name}' donor do not agree: {said}; layers among the tensors: {there}"
    raise DonorError.of(message, "is the checkpoint complete? else describe the family in architectures/")


def _list_depths(config: Config) -> Iterator[tuple[str, str, int, int]]:
    """Yield a tuple for each config entry that may state the number of layers.

    The tuple contains the key of the nested config ("" if not nested), the key of the entry, the number of layers, and
    the number of multi-token-prediction layers.
    """
    for scope in ("", *read_conventions().scopes):
        inner = config.get(scope) if scope else config
        if not isinstance(inner, Mapping):
            continue
        further = inner.get("num_nextn_predict_layers")
        for key in read_conventions().depth:
            depth = inner.get(key)
            if isinstance(depth, int):
                yield scope, key, depth, further if isinstance(further, int) else 0
        types = inner.get("layers_block_type")
        if isinstance(types, list):
            yield scope, "len(layers_block_type)", len(types), 0


def _find_tied(tensors: Mapping[str, TensorSpec], prefix: str, name: str, inner: str) -> tuple[tuple[str, str], ...]:
    """Find the names of the output head and the embedding, as pairs; empty if there is no embedding.

    A head without a tensor is named after its bias or, if there is no bias, by the convention for the model type
    `name`; `prefix` is the layer prefix, and `inner` the name prefix of a wrapper's language model.
    """
    pattern = compile_prefix(prefix)
    outside = [each for each in tensors if not pattern.fullmatch(each)]
    roles = {each: guess_outside_role(each, inner, outside) for each in outside}
    embed = next((each for each, role in roles.items() if role == "embed" and len(tensors[each].shape) == 2), None)
    if embed is None:
        return ()
    shape = tensors[embed].shape
    heads = [each for each, role in roles.items() if role in ("head", "head.other") and tensors[each].shape == shape]
    if heads:
        return ((min(heads, key=lambda each: roles[each] != "head"), embed),)
    biases = [each for each, role in roles.items() if role == "head.bias" and tensors[each].shape == shape[:1]]
    named = name_tied_heads(name, outside) or tuple(each.removesuffix("bias") + "weight" for each in biases[:1])
    outer = inner.removesuffix("model.") if inner.endswith(".model.") else ""
    weight, *bias = named or (f"{outer}lm_head.weight",)
    return ((weight, embed), *((each, each.replace("decoder.", "")) for each in bias if each not in tensors))


def _number_kinds(tensors: Mapping[str, TensorSpec], known: Architecture, depth: int) -> list[int]:
    """Return a number for each layer; two layers have equal numbers if their tensors have equal names and shapes."""
    pattern = compile_prefix(known.prefix)
    prints: list[set[tuple[str, tuple[int, ...]]]] = [set() for _ in range(depth)]
    for tensor in tensors.values():
        found = pattern.fullmatch(tensor.name)
        layer, suffix = (
            (int(found[1]), found[2]) if found else match_outside_name(tensor.name, known.apart) or (None, "")
        )
        if layer is not None and layer < depth:
            prints[layer].add((_EXPERT.sub(".*", suffix), tensor.shape))
    numbers: dict[frozenset[tuple[str, tuple[int, ...]]], int] = {}
    return [numbers.setdefault(frozenset(each), len(numbers)) for each in prints]


def _bind_unexplained(
    kinds: Sequence[int], rules: Sequence[LayerRule], names: Mapping[str, Any]
) -> Iterator[LayerRule]:
    """Yield a rule that lets a layer move only to an index with an equal number in `kinds`, which has one per layer.

    Yields nothing if any two layers with different numbers already have different values according to `rules`.
    """
    seen: dict[str, int] = {}
    followed = [rule for rule in rules if rule.write not in POSITIONAL or rule.write is WriteKind.POSITION]
    firsts = {
        _find_first(rule, names, len(kinds)) for rule in rules if rule.write in (WriteKind.SHARED, WriteKind.WHOLE)
    }
    explained = [f"{read_layer_properties(followed, names, index)} {index in firsts}" for index in range(len(kinds))]
    if all(seen.setdefault(values, kind) == kind for values, kind in zip(explained, kinds, strict=True)):
        return
    reason = "layers differ in their tensors, and nothing in the config says which is which"
    yield LayerRule("structure", "", WriteKind.POSITION, (parse_formula(_kind_formula(kinds)),), reason=reason)


def _list_outside(tensors: Mapping[str, TensorSpec], known: Architecture) -> list[TensorSpec]:
    """The tensors of the language model outside the layers, without heads and those that are apart in `known`."""
    pattern = compile_prefix(known.prefix)
    around = _AROUND.search
    return [
        each
        for name, each in tensors.items()
        if name.startswith(known.inner) and not (pattern.fullmatch(name) or match_outside_name(name, known.apart))
        if not around(name) and not find_ignored_reason(name)
    ]


def _bind_outside_parts(outside: Sequence[TensorSpec], depth: int) -> Iterator[LayerRule]:
    """Yields a rule that keeps all layers of a donor together if tensors outside may have a part for each layer.

    Such tensors have a dimension of size `depth`, or numbers in their names that reach up to about the depth.
    """
    numbered = {each.name: int(found[2]) for each in outside if (found := _NUMBERED.match(each.name))}
    reaching = [name for name, number in numbered.items() if depth - 2 <= number < depth]
    sized = [each.name for each in outside if depth in each.shape and each.name not in numbered]
    for name in (*sized, *reaching)[:1] if depth >= _FEWEST_LAYERS else ():
        reason = f"'{name}' may have a part for each layer, and nothing says how it follows them"
        yield LayerRule("outside", "", WriteKind.WHOLE, (parse_formula("i >= 0"),), reason=reason)


def _find_first(rule: LayerRule, names: Mapping[str, Any], depth: int) -> int | None:
    """The index of the first layer for which the rule reads a true value; None if there is no such layer."""
    return next((index for index in range(depth) if read_layer_value(rule, names, index)), None)


def _kind_formula(kinds: Sequence[int]) -> str:
    """Build a formula of the layer index `i` that tells apart layers with different numbers in `kinds`.

    Examples are `i == 0` and `[0, 1][i % 2]`; if the numbers follow no pattern, the formula contains all numbers.
    """
    if len(set(kinds[1:])) == 1:
        return "i == 0"
    if len(set(kinds[:-1])) == 1:
        return "i == depth - 1"
    for period in range(2, len(kinds) // 2 + 1):
        if all(kind == kinds[index % period] for index, kind in enumerate(kinds)):
            return f"{list(kinds[:period])}[i % {period}]"
    return f"{list(kinds)}[i]"
