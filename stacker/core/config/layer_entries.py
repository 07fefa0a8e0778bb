"""The per-layer entries of a stack's config: each layer brings its own value, and rules say where it may stand.

A rule that a stack cannot keep is a Problem with the reason and the nearest stack that works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stacker.arch.dimensions import text_config
from stacker.arch.files.architecture import PLACES, SILENT, LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.layer_rules import holds, layer_value, list_rules, solve, written
from stacker.core.config.nearest import find_nearest_stack
from stacker.core.config.refusals import REFUSALS, OutputLayer, RuleValues, formula_names, slices_text
from stacker.core.values.donor import Donor
from stacker.errors import Problem, errors_in
from stacker.formats.json_object import Json

Feeds = Sequence[tuple[Donor, int]]


@dataclass(slots=True)
class LayerEntries:
    """What the layers make of the template's config: entries to set, entries to drop, and what cannot be."""

    entries: dict[str, Json] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def apply_layer_rules(template: Donor, outputs: Sequence[OutputLayer], ends: Sequence[Donor] = ()) -> LayerEntries:
    """Every rule of the template's family applied to the stack's layers; `ends` give what stands around them."""
    found = LayerEntries()
    names = {donor.name: formula_names(donor) for output in outputs for donor, _ in output.feeds}
    names[template.name] = formula_names(template)
    rules = [rule for rule in template.architecture.rules if holds(rule, names[template.name])]
    rules += _implied_list_rules(template, rules)
    followed = [*_collect_values(rules, outputs, names, ends, found.problems)]
    refused = [*_find_refusals(followed, names[template.name])]
    found.problems += _suggest_nearest(refused, followed, names, template.name)
    for values in followed:
        _add_entries(values, names[template.name], found)
    found.problems += _check_missing_entries(template, rules, outputs, names)
    return found


def _collect_values(
    rules: Sequence[LayerRule],
    outputs: Sequence[OutputLayer],
    names: Mapping[str, Mapping[str, Any]],
    ends: Sequence[Donor],
    problems: list[Problem],
) -> Iterator[RuleValues]:
    """Each rule with the layers' values, where all of them have one."""
    for rule in rules:
        values = _layer_values(rule, outputs, names, problems)
        if values is not None:
            yield RuleValues(rule, outputs, values, tuple(ends))


def _implied_list_rules(template: Donor, rules: Sequence[LayerRule]) -> Iterator[LayerRule]:
    """Lists of words as long as the model is deep that a known family's file does not speak of: one entry a layer."""
    config = text_config(template.architecture, template.config)
    words = {key: value for key, value in config.items() if isinstance(value, list) and all(map(_is_word, value))}
    return list_rules(words, rules, template.depth, frozenset({"architectures"}))


def _is_word(value: Json) -> bool:
    return isinstance(value, str)


def _layer_values(
    rule: LayerRule, outputs: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> list[Json] | None:
    """The rule's value in each layer; None, and a problem, where a layer has none or blended layers differ."""
    found: list[Json] = []
    for output in outputs:
        try:
            each = [_donor_value(rule, donor, names[donor.name], layer) for donor, layer in output.feeds]
        except FormulaError as error:
            message = f"{output.text}: what '{rule.key or rule.name}' is there, its config does not say: {error}"
            problems.append(Problem(message, "choose another donor with `config:`", output.mark))
            return None
        if any(value != each[0] for value in each):
            said = " and ".join(repr(value) for value in each)
            message = f"layer {output.index} blends layers of different kinds: {rule.name} is {said} in {output.text}"
            problems.append(Problem(message, "blend layers of one kind: shift one slice until they match", output.mark))
            return None
        found.append(each[0])
    return found


def _donor_value(rule: LayerRule, donor: Donor, names: Mapping[str, Any], layer: int) -> Json:
    """A layer's value by its own family's rule of that name, or else by this one."""
    own = next((each for each in donor.architecture.rules if each.name == rule.name and holds(each, names)), rule)
    return layer_value(own, names, layer)


def _find_refusals(followed: Sequence[RuleValues], names: Mapping[str, Any]) -> Iterator[Problem]:
    for values in followed:
        refusal = REFUSALS.get(values.rule.write)
        problem = refusal(values, names) if refusal else None
        if problem:
            yield problem


def _suggest_nearest(
    refused: Sequence[Problem], followed: Sequence[RuleValues], names: Mapping[str, Mapping[str, Any]], template: str
) -> Sequence[Problem]:
    """The problems, their hints with the nearest stack that keeps all rules, if one is found."""
    outputs = find_nearest_stack(followed, names[template]) if errors_in(refused) else None
    if outputs is None or any(len(output.feeds) > 1 for output in outputs):
        return refused
    others: list[Problem] = []
    again = [*_collect_values([values.rule for values in followed], outputs, names, followed[0].ends, others)]
    if others or errors_in(_find_refusals(again, names[template])):
        return refused
    stack = slices_text([output.feeds[0] for output in outputs])
    wrong = errors_in(refused)
    return [
        replace(each, hint=f"{each.hint}; a stack that works: {stack}") if each in wrong else each for each in refused
    ]


def _add_entries(values: RuleValues, names: Mapping[str, Any], found: LayerEntries) -> None:
    """Put what the values come to into the entries; where the stack is refused, it does not matter what."""
    if values.rule.write is WriteKind.SOLVE:
        found.entries.update(solve(values.rule, names, values.values).entries)
    elif values.rule.write not in SILENT:
        found.entries[values.rule.key] = written(values.rule.write, values.values)
    found.entries.update(values.rule.put)
    found.drop |= set(values.rule.drop)


def _check_missing_entries(
    template: Donor, rules: Sequence[LayerRule], outputs: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Per-layer entries that a donor of layers has and the template's config has no room for."""
    known = {rule.name for rule in rules}
    donors = {donor.name: donor for output in outputs for donor, _ in output.feeds}
    for donor in donors.values():
        for rule in donor.architecture.rules:
            if rule.name not in known and rule.write not in PLACES and holds(rule, names[donor.name]):
                what = rule.key or rule.name
                message = f"layers of '{donor.name}' differ in '{what}', which the config of '{template.name}' lacks"
                yield Problem(message, f"take the config from it: `config: {donor.name}`")
