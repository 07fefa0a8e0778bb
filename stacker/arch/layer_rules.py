"""Reads what a config says about each layer, by layer rules, and builds config entries for the layers of a stack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stacker.arch.dimensions import count_prediction_layers
from stacker.arch.files.architecture import Architecture, Config, LayerRule, WriteKind
from stacker.arch.files.formula import Formula, FormulaError, parse_formula
from stacker.formats.json_object import Json


def is_applicable(rule: LayerRule, names: Mapping[str, Any]) -> bool:
    """Whether the rule has no condition or a true one; False if the condition cannot be computed from `names`."""
    if rule.when is None:
        return True
    try:
        return bool(rule.when.value(names))
    except FormulaError:
        return False


def read_layer_value(rule: LayerRule, names: Mapping[str, Any], index: int) -> Json:
    """The first value of the formulas `rule.read` for layer `index` that is not null.

    A formula that cannot be computed is skipped; FormulaError if no formula has a value. A list that is read by one
    formula may state null for a layer.
    """
    failure = FormulaError(f"'{rule.name}' cannot be read")
    for formula in rule.read:
        try:
            value: Json = formula.value({**names, "i": index})
        except FormulaError as error:
            failure = error
            continue
        if value is not None or (rule.write is WriteKind.LIST and len(rule.read) == 1):
            return value
    raise failure


def find_used_formula(rule: LayerRule, names: Mapping[str, Any]) -> Formula:
    """The formula that `read_layer_value` uses for the first layer; it must have a value."""
    return next(each for each in rule.read if has_all_values(replace(rule, read=(each,)), names, 1))


def has_all_values(rule: LayerRule, names: Mapping[str, Any], depth: int) -> bool:
    """Whether the rule reads a value that is not null for every one of `depth` layers."""
    try:
        return all(read_layer_value(rule, names, index) is not None for index in range(depth))
    except FormulaError:
        return False


def list_written_keys(architecture: Architecture) -> set[str]:
    """The config keys that are written anew for a stack: those of per-layer rules and those computed from the depth."""
    rules = architecture.rules
    keys = {key for rule in rules for key in (rule.key, *rule.drop, *dict(rule.put), *dict(rule.over))}
    return keys | {key for key, _ in architecture.sized}


def read_layer_properties(rules: Sequence[LayerRule], names: Mapping[str, Any], index: int) -> dict[str, Json]:
    """The values that the rules read for layer `index`, by rule name.

    Rules that do not apply, or that read no value, are left out.
    """
    found: dict[str, Json] = {}
    for rule in rules:
        if is_applicable(rule, names):
            try:
                found[rule.name] = read_layer_value(rule, names, index)
            except FormulaError:
                continue
    return found


def infer_list_rules(
    config: Config, rules: Iterable[LayerRule], depth: int, shared: frozenset[str]
) -> Iterator[LayerRule]:
    """Yield a rule for each config entry that is a list of `depth` items, one for each layer.

    The list may also have items for the layers of multi-token prediction. Keys that `rules` mention are skipped, and
    keys in `shared`, whose lists never have one item per layer.
    """
    mentioned = {key for rule in rules for key in (rule.key, *rule.drop)} | shared
    lengths = {depth, depth + count_prediction_layers(config)}
    for key, value in config.items():
        if isinstance(value, list) and len(value) in lengths and key not in mentioned and _is_name(key):
            if _are_references(value):
                reason = f"'{key}' seems to name, for each layer, an earlier layer by its number"
                yield LayerRule(key, "", WriteKind.POSITION, (parse_formula(f"{key}[i]"),), reason=reason)
            else:
                yield LayerRule(key, key, WriteKind.LIST, (parse_formula(f"{key}[i]"),))


def _is_name(key: str) -> bool:
    """Whether formulas can read a config key: identifiers, with dots between them in the metadata of GGUF files."""
    return all(part.isidentifier() for part in key.split("."))


def _are_references(value: list[Json]) -> bool:
    """Whether each entry may be the number of the entry's own layer or of an earlier one; false for zeros and ones."""
    numbers = [each for each in value if isinstance(each, int) and not isinstance(each, bool)]
    known = len(numbers) == len(value) and all(0 <= number <= index for index, number in enumerate(numbers))
    return known and max(numbers) > 1


def infer_index_rules(
    config: Config, rules: Iterable[LayerRule], depth: int, named: re.Pattern[str]
) -> Iterator[LayerRule]:
    """Yield a rule for each config list of layer indices whose key matches `named` and is not mentioned by `rules`."""
    mentioned = {key for rule in rules for key in (rule.key, *rule.drop)}
    for key, value in config.items():
        if key not in mentioned and named.search(key) and isinstance(value, list) and _are_indices(value, depth):
            yield LayerRule(key, key, WriteKind.INDICES, (parse_formula(f"i in {key}"),))


def _are_indices(value: list[Json], depth: int) -> bool:
    """Whether the list is not empty and all entries are layer indices, each greater than the one before."""
    numbers = [each for each in value if isinstance(each, int) and 0 <= each < depth]
    return bool(numbers) and len(numbers) == len(value) and numbers == sorted(set(numbers))


def build_entry(kind: WriteKind, values: Sequence[Json]) -> Json:
    """Build the config entry that states `values`, one per layer; None if rules of this kind write no such entry."""
    match kind:
        case WriteKind.LIST:
            return list(values)
        case WriteKind.INDICES:
            return [index for index, value in enumerate(values) if value]
        case WriteKind.PREFIX | WriteKind.SUFFIX:
            return sum(map(bool, values))
        case WriteKind.MAPPING:
            stated = {index: value for index, value in enumerate(values) if value}
            digits = len(str(max(stated, default=0)))  # transformers pads, so that the keys sort as numbers do
            return {str(index).zfill(digits): value for index, value in stated.items()}
        case WriteKind.RUNS:
            return [[list(values), 1]]
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Solution:
    """New config entries, and the indices (`misfits`) of the layers for which these entries state a wrong value."""

    entries: Mapping[str, Json]
    misfits: tuple[int, ...]


def solve_entries(rule: LayerRule, names: Mapping[str, Any], values: Sequence[Json]) -> Solution:
    """Find config entries for the keys in `rule.over` such that `rule` reads `values[i]` for the most layers i.

    The present entries are kept if no other entries are right for more layers. The formulas in `rule.over` may use
    `depth`, `first` and `last`: the number of layers, and the indices of the first and the last true value.
    """
    true = [index for index, value in enumerate(values) if value]
    # if no value is true, [first, last] is the empty range that begins after the last layer
    ends = {"first": true[0], "last": true[-1]} if true else {"first": len(values), "last": len(values) - 1}
    whole = {**names, "depth": len(values), **ends}
    best = Solution({}, tuple(range(len(values))))
    for entries in _list_candidates(rule.over, whole):
        misfits = _find_misfits(rule, {**whole, **entries}, values, most=len(best.misfits))
        if len(misfits) < len(best.misfits):
            best = Solution(entries, misfits)
        if not best.misfits:
            break
    return best


def _list_candidates(over: Sequence[tuple[str, Formula]], names: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    """Yield the entries that the config has for the keys in `over`, then every combination of values to try.

    `over` is a list of config keys, each with a formula for the list of values to try.
    """
    yield {key: names[key] for key, _ in over if key in names}
    yield from _list_combinations(over, names)


def _list_combinations(over: Sequence[tuple[str, Formula]], names: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    if not over:
        yield {}
        return
    (key, allowed), *further = over
    for value in allowed.value(names):
        for entries in _list_combinations(further, {**names, key: value}):
            yield {key: value, **entries}


def _find_misfits(rule: LayerRule, names: Mapping[str, Any], values: Sequence[Json], most: int) -> tuple[int, ...]:
    """The indices of layers for which the rule does not read `values[index]` from `names`; at most `most` indices."""
    found: list[int] = []
    for index, value in enumerate(values):
        if not _has_value(rule, names, index, value):
            found.append(index)
            if len(found) >= most:
                break
    return tuple(found)


def _has_value(rule: LayerRule, names: Mapping[str, Any], index: int, value: Json) -> bool:
    try:
        return bool(read_layer_value(rule, names, index) == value)
    except FormulaError:
        return False
