"""Config entries that follow the layers: a layer's value in its donor, and how the values of a stack are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.files.architecture import Config, LayerRule, WriteKind
from stacker.arch.files.formula import Formula, FormulaError, parse_formula
from stacker.formats.json_object import Json


def is_applicable(rule: LayerRule, names: Mapping[str, Any]) -> bool:
    """Whether a rule applies to this config."""
    if rule.when is None:
        return True
    try:
        return bool(rule.when.value(names))
    except FormulaError:
        return False


def read_layer_value(rule: LayerRule, names: Mapping[str, Any], index: int) -> Json:
    """A layer's value by the first reader that has one; FormulaError when none has."""
    failure = FormulaError(f"'{rule.name}' cannot be read")
    for formula in rule.read:
        try:
            value: Json = formula.value({**names, "i": index})
        except FormulaError as error:
            failure = error
            continue
        if value is not None:
            return value
    raise failure


def read_layer_properties(rules: Sequence[LayerRule], names: Mapping[str, Any], index: int) -> dict[str, Json]:
    """The values of all rules that hold, by their names: what tensors' conditions may speak of."""
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
    """A rule for each config list as long as the model is deep that no rule speaks of and that is not `shared`."""
    spoken = {key for rule in rules for key in (rule.key, *rule.drop)} | shared
    for key, value in config.items():
        if isinstance(value, list) and len(value) == depth and key not in spoken and key.isidentifier():
            yield LayerRule(key, key, WriteKind.LIST, (parse_formula(f"{key}[i]"),))


def infer_index_rules(
    config: Config, rules: Iterable[LayerRule], depth: int, named: re.Pattern[str]
) -> Iterator[LayerRule]:
    """A rule for each list of layers by number that no rule speaks of: `named` says how such lists are called."""
    spoken = {key for rule in rules for key in (rule.key, *rule.drop)}
    for key, value in config.items():
        if key not in spoken and named.search(key) and isinstance(value, list) and _are_layers(value, depth):
            yield LayerRule(key, key, WriteKind.INDICES, (parse_formula(f"i in {key}"),))


def _are_layers(value: list[Json], depth: int) -> bool:
    """Whether all are numbers of layers, each once and in order."""
    numbers = [each for each in value if isinstance(each, int) and 0 <= each < depth]
    return bool(numbers) and len(numbers) == len(value) and numbers == sorted(set(numbers))


def build_entry(kind: WriteKind, values: Sequence[Json]) -> Json:
    """What stands under the rule's key for layers of these values, in order (others write none of it)."""
    match kind:
        case WriteKind.LIST:
            return list(values)
        case WriteKind.INDICES:
            return [index for index, value in enumerate(values) if value]
        case WriteKind.PREFIX | WriteKind.SUFFIX:
            return sum(map(bool, values))
        case WriteKind.MAPPING:
            return {str(index): value for index, value in enumerate(values) if value}
        case WriteKind.RUNS:
            return [[list(values), 1]]
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Solution:
    """Entries for the config, and the places (from 0) whose value they do not give: none where all is solved."""

    entries: Mapping[str, Json]
    misfits: tuple[int, ...]


def solve_entries(rule: LayerRule, names: Mapping[str, Any], values: Sequence[Json]) -> Solution:
    """The entries that give the most places their value; those of the config itself where none are better.

    `names` are the entries of that config. Formulas of `over` may also speak of `depth`, the number of places, and of
    the `first` and the `last` place whose value is true (`depth` and `depth - 1` where there is none).
    """
    true = [index for index, value in enumerate(values) if value]
    ends = {"first": true[0], "last": true[-1]} if true else {"first": len(values), "last": len(values) - 1}
    whole = {**names, "depth": len(values), **ends}
    best = Solution({}, tuple(range(len(values))))
    for entries in _candidates(rule.over, whole):
        misfits = _misfits(rule, {**whole, **entries}, values, most=len(best.misfits))
        if len(misfits) < len(best.misfits):
            best = Solution(entries, misfits)
        if not best.misfits:
            break
    return best


def _candidates(over: Sequence[tuple[str, Formula]], names: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    """The entries as they are, then every combination that `over` allows."""
    yield {key: names[key] for key, _ in over if key in names}
    yield from _combinations(over, names)


def _combinations(over: Sequence[tuple[str, Formula]], names: Mapping[str, Any]) -> Iterator[dict[str, Json]]:
    if not over:
        yield {}
        return
    (key, allowed), *further = over
    for value in allowed.value(names):
        for entries in _combinations(further, {**names, key: value}):
            yield {key: value, **entries}


def _misfits(rule: LayerRule, names: Mapping[str, Any], values: Sequence[Json], most: int) -> tuple[int, ...]:
    """The places that get another value than theirs; the search ends as soon as there are `most`."""
    found: list[int] = []
    for index, value in enumerate(values):
        if not _gives(rule, names, index, value):
            found.append(index)
            if len(found) >= most:
                break
    return tuple(found)


def _gives(rule: LayerRule, names: Mapping[str, Any], index: int, value: Json) -> bool:
    try:
        return bool(read_layer_value(rule, names, index) == value)
    except FormulaError:
        return False
