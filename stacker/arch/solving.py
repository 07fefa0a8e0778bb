"""Config entries found anew, such that a rule over the layer index gives each layer of a stack the value it has.

A search through what the rule's `over` allows; it knows nothing of donors, nor what a value means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacker.arch.formula import Formula, FormulaError
from stacker.arch.model import Json, LayerRule
from stacker.arch.rules import layer_value


@dataclass(frozen=True, slots=True)
class Solution:
    """Entries for the config, and the places (from 0) whose value they do not give: none where all is solved."""

    entries: Mapping[str, Json]
    misfits: tuple[int, ...]


def solve(rule: LayerRule, names: Mapping[str, Any], values: Sequence[Json]) -> Solution:
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
        return bool(layer_value(rule, names, index) == value)
    except FormulaError:
        return False
