"""The per-layer entries of a stack's config: each layer brings its own value, and rules say where it may stand.

A rule that a stack cannot keep is a Problem with the reason and the nearest stack that works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stacker.arch.dimensions import select_text_config
from stacker.arch.files.architecture import CHECK_ONLY, POSITIONAL, LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.layer_rules import build_entry, infer_list_rules, is_applicable, read_layer_value, solve_entries
from stacker.core.config.nearest import mended
from stacker.core.config.refusals import REFUSALS, OutputLayer, RuleValues, names_of, slices_text
from stacker.core.values.donor import Donor
from stacker.errors import Problem, select_errors
from stacker.formats.json_object import Json

Feeds = Sequence[tuple[Donor, int]]


@dataclass(slots=True)
class Following:
    """What the layers make of the template's config: entries to set, entries to drop, and what cannot be."""

    entries: dict[str, Json] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def follow_layers(template: Donor, places: Sequence[OutputLayer], ends: Sequence[Donor] = ()) -> Following:
    """Every rule of the template's family applied to the stack's layers; `ends` give what stands around them."""
    found = Following()
    names = {donor.name: names_of(donor) for place in places for donor, _ in place.feeds}
    names[template.name] = names_of(template)
    rules = [rule for rule in template.architecture.rules if is_applicable(rule, names[template.name])]
    rules += _unlisted(template, rules)
    followed = [*_followed(rules, places, names, ends, found.problems)]
    refused = [*_refused(followed, names[template.name])]
    found.problems += _with_nearest(refused, followed, names, template.name)
    for values in followed:
        _write(values, names[template.name], found)
    found.problems += _unfollowed(template, rules, places, names)
    return found


def _followed(
    rules: Sequence[LayerRule],
    places: Sequence[OutputLayer],
    names: Mapping[str, Mapping[str, Any]],
    ends: Sequence[Donor],
    problems: list[Problem],
) -> Iterator[RuleValues]:
    """Each rule with the layers' values, where all of them have one."""
    for rule in rules:
        values = _values(rule, places, names, problems)
        if values is not None:
            yield RuleValues(rule, places, values, tuple(ends))


def _unlisted(template: Donor, rules: Sequence[LayerRule]) -> Iterator[LayerRule]:
    """Lists of words as long as the model is deep that a known family's file does not speak of: one entry a layer."""
    config = select_text_config(template.architecture, template.config)
    words = {key: value for key, value in config.items() if isinstance(value, list) and all(map(_is_word, value))}
    return infer_list_rules(words, rules, template.depth, frozenset({"architectures"}))


def _is_word(value: Json) -> bool:
    return isinstance(value, str)


def _values(
    rule: LayerRule, places: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> list[Json] | None:
    """The rule's value in each layer; None, and a problem, where a layer has none or blended layers differ."""
    found: list[Json] = []
    for place in places:
        try:
            each = [_own_value(rule, donor, names[donor.name], layer) for donor, layer in place.feeds]
        except FormulaError as error:
            message = f"{place.text}: what '{rule.key or rule.name}' is there, its config does not say: {error}"
            problems.append(Problem(message, "choose another donor with `config:`", place.mark))
            return None
        if any(value != each[0] for value in each):
            said = " and ".join(repr(value) for value in each)
            message = f"layer {place.index} blends layers of different kinds: {rule.name} is {said} in {place.text}"
            problems.append(Problem(message, "blend layers of one kind: shift one slice until they match", place.mark))
            return None
        found.append(each[0])
    return found


def _own_value(rule: LayerRule, donor: Donor, names: Mapping[str, Any], layer: int) -> Json:
    """A layer's value by its own family's rule of that name, or else by this one."""
    own = next(
        (each for each in donor.architecture.rules if each.name == rule.name and is_applicable(each, names)), rule
    )
    return read_layer_value(own, names, layer)


def _refused(followed: Sequence[RuleValues], names: Mapping[str, Any]) -> Iterator[Problem]:
    for values in followed:
        refusal = REFUSALS.get(values.rule.write)
        problem = refusal(values, names) if refusal else None
        if problem:
            yield problem


def _with_nearest(
    refused: Sequence[Problem], followed: Sequence[RuleValues], names: Mapping[str, Mapping[str, Any]], template: str
) -> Sequence[Problem]:
    """The problems, their hints with the nearest stack that keeps all rules, if one is found."""
    places = mended(followed, names[template]) if select_errors(refused) else None
    if places is None or any(len(place.feeds) > 1 for place in places):
        return refused
    others: list[Problem] = []
    again = [*_followed([values.rule for values in followed], places, names, followed[0].ends, others)]
    if others or select_errors(_refused(again, names[template])):
        return refused
    stack = slices_text([place.feeds[0] for place in places])
    wrong = select_errors(refused)
    return [
        replace(each, hint=f"{each.hint}; a stack that works: {stack}") if each in wrong else each for each in refused
    ]


def _write(values: RuleValues, names: Mapping[str, Any], found: Following) -> None:
    """Put what the values come to into the entries; where the stack is refused, it does not matter what."""
    if values.rule.write is WriteKind.SOLVE:
        found.entries.update(solve_entries(values.rule, names, values.values).entries)
    elif values.rule.write not in CHECK_ONLY:
        found.entries[values.rule.key] = build_entry(values.rule.write, values.values)
    found.entries.update(values.rule.put)
    found.drop |= set(values.rule.drop)


def _unfollowed(
    template: Donor, rules: Sequence[LayerRule], places: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Per-layer entries that a donor of layers has and the template's config has no room for."""
    known = {rule.name for rule in rules}
    donors = {donor.name: donor for place in places for donor, _ in place.feeds}
    for donor in donors.values():
        for rule in donor.architecture.rules:
            if rule.name not in known and rule.write not in POSITIONAL and is_applicable(rule, names[donor.name]):
                what = rule.key or rule.name
                message = f"layers of '{donor.name}' differ in '{what}', which the config of '{template.name}' lacks"
                yield Problem(message, f"take the config from it: `config: {donor.name}`")
