"""The per-layer entries of a stack's config: each layer brings its own value, and rules say where it may stand.

A rule that a stack cannot keep is a Problem with the reason and the nearest stack that works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacker.arch.dimensions import names_in, text_config
from stacker.arch.formula import FormulaError
from stacker.arch.model import Json, LayerRule, WriteKind
from stacker.arch.rules import holds, layer_value, list_rules, written
from stacker.core.donor import Donor
from stacker.errors import Mark, Problem

Feeds = Sequence[tuple[Donor, int]]
_SILENT = (WriteKind.CONSTANT, WriteKind.POSITION)


@dataclass(frozen=True, slots=True)
class Place:
    """An output layer: its index, the donor layers that feed it, and where the spec asks for it."""

    index: int
    feeds: tuple[tuple[Donor, int], ...]
    mark: Mark | None = None

    @property
    def text(self) -> str:
        return " and ".join(f"{donor.name}[{layer}]" for donor, layer in self.feeds)


@dataclass(slots=True)
class Following:
    """What the layers make of the template's config: entries to set, entries to drop, and what cannot be."""

    entries: dict[str, Json] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Values:
    """A rule with the value each output layer brings, in order."""

    rule: LayerRule
    places: Sequence[Place]
    values: Sequence[Json]

    def runs(self, chosen: Callable[[int], bool]) -> str:
        """The output layers whose index is chosen, as slices of their (first) donors."""
        return slices_text([place.feeds[0] for place in self.places if chosen(place.index)])


def follow_layers(template: Donor, places: Sequence[Place]) -> Following:
    """Every rule of the template's family applied to the stack's layers."""
    found = Following()
    names = {donor.name: _names(donor) for place in places for donor, _ in place.feeds}
    names[template.name] = _names(template)
    rules = [rule for rule in template.architecture.rules if holds(rule, names[template.name])]
    rules += _unlisted(template, rules)
    for rule in rules:
        values = _values(rule, places, names, found.problems)
        if values is not None:
            _write(values, names[template.name], found)
    found.problems += _unfollowed(template, rules, places, names)
    return found


def _unlisted(template: Donor, rules: Sequence[LayerRule]) -> Iterator[LayerRule]:
    """Lists of words as long as the model is deep that a known family's file does not speak of: one entry a layer."""
    config = text_config(template.architecture, template.config)
    words = {key: value for key, value in config.items() if isinstance(value, list) and all(map(_is_word, value))}
    return list_rules(words, rules, template.depth, frozenset({"architectures"}))


def _is_word(value: Json) -> bool:
    return isinstance(value, str)


def _names(donor: Donor) -> dict[str, Any]:
    return {**names_in(donor.architecture, donor.config), "depth": donor.depth}


def _values(
    rule: LayerRule, places: Sequence[Place], names: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> _Values | None:
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
    return _Values(rule, places, found)


def _own_value(rule: LayerRule, donor: Donor, names: Mapping[str, Any], layer: int) -> Json:
    """A layer's value by its own family's rule of that name, or else by this one."""
    own = next((each for each in donor.architecture.rules if each.name == rule.name and holds(each, names)), rule)
    return layer_value(own, names, layer)


def _write(values: _Values, names: Mapping[str, Any], found: Following) -> None:
    refusal = _REFUSALS.get(values.rule.write)
    problem = refusal(values, names) if refusal else None
    if problem:
        found.problems.append(problem)
        return
    if values.rule.write not in _SILENT:
        found.entries[values.rule.key] = written(values.rule.write, values.values)
    found.entries.update(values.rule.put)
    found.drop |= set(values.rule.drop)


def _refuse_prefix(values: _Values, _: Mapping[str, Any]) -> Problem | None:
    """Layers for which the rule is true must come before all others."""
    first = next((index for index, value in enumerate(values.values) if not value), len(values.values))
    late = [index for index, value in enumerate(values.values) if value and index > first]
    if not late:
        return None
    place = values.places[late[0]]
    reason = values.rule.reason or f"layers counted by '{values.rule.key}' must come first"
    message = f"{reason}: layer {place.index} ({place.text}) comes after layer {first} ({values.places[first].text})"
    hint = f"drop {values.runs(lambda index: index in late)}, or begin the stack with it"
    return Problem(message, hint, place.mark)


def _refuse_constant(values: _Values, _: Mapping[str, Any]) -> Problem | None:
    """All layers must have one value."""
    other = next((index for index, value in enumerate(values.values) if value != values.values[0]), None)
    if other is None:
        return None
    place = values.places[other]
    reason = values.rule.reason or f"the config has one '{values.rule.key}' for all layers"
    message = (
        f"{reason}: it is {values.values[0]!r} in {values.places[0].text}, {values.values[other]!r} in {place.text}"
    )
    alike = values.runs(lambda index: values.values[index] == values.values[0])
    return Problem(message, f"stack only layers of one kind, such as {alike}", place.mark)


def _refuse_position(values: _Values, names: Mapping[str, Any]) -> Problem | None:
    """Each layer must have the value that its new place gives it."""
    whole = {**names, "depth": len(values.places)}
    moved = [place for place in values.places if _at(values.rule, whole, place.index) != values.values[place.index]]
    if not moved:
        return None
    place = moved[0]
    reason = values.rule.reason or f"'{values.rule.name}' depends on a layer's place"
    more = f" (and {len(moved) - 1} more layers)" if len(moved) > 1 else ""
    return Problem(
        f"{reason}: {place.text} cannot be layer {place.index}{more}", _fitting(values, whole, place), place.mark
    )


def _at(rule: LayerRule, names: Mapping[str, Any], index: int) -> Json:
    try:
        return layer_value(rule, names, index)
    except FormulaError:
        return None


def _fitting(values: _Values, names: Mapping[str, Any], place: Place) -> str:
    """Advice: the layers of the same donor nearest to the one asked for that could stand in its place."""
    donor, layer = place.feeds[0]
    own, wanted = _names(donor), _at(values.rule, names, place.index)
    fitting = [index for index in range(donor.depth) if wanted is not None and _at(values.rule, own, index) == wanted]
    nearest = sorted(sorted(fitting, key=lambda index: abs(index - layer))[:3])
    if not nearest:
        return f"no layer of '{donor.name}' can stand there: keep to the places that the donor's layers have"
    return f"in its place could stand {', '.join(f'{donor.name}[{index}]' for index in nearest)}"


_REFUSALS: dict[WriteKind, Callable[[_Values, Mapping[str, Any]], Problem | None]] = {
    WriteKind.PREFIX: _refuse_prefix,
    WriteKind.CONSTANT: _refuse_constant,
    WriteKind.POSITION: _refuse_position,
}


def _unfollowed(
    template: Donor, rules: Sequence[LayerRule], places: Sequence[Place], names: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Per-layer entries that a donor of layers has and the template's config has no room for."""
    known = {rule.name for rule in rules}
    donors = {donor.name: donor for place in places for donor, _ in place.feeds}
    for donor in donors.values():
        for rule in donor.architecture.rules:
            if rule.name not in known and rule.write is not WriteKind.POSITION and holds(rule, names[donor.name]):
                message = (
                    f"layers of '{donor.name}' differ in '{rule.key}', which the config of '{template.name}' lacks"
                )
                yield Problem(message, f"take the config from it: `config: {donor.name}`")


def slices_text(feeds: Sequence[tuple[Donor, int]]) -> str:
    """Donor layers as the slices a spec would write: a[0:2], b[5:6]."""
    runs: list[tuple[str, int, int]] = []
    for donor, layer in feeds:
        if runs and runs[-1][0] == donor.name and runs[-1][2] == layer:
            runs[-1] = (donor.name, runs[-1][1], layer + 1)
        else:
            runs.append((donor.name, layer, layer + 1))
    return ", ".join(f"{name}[{start}:{stop}]" for name, start, stop in runs)
