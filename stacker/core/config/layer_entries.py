"""Computes the per-layer entries of a stack's config from the values that its layers have in their donors' configs.

If no config can express these values, it reports the reason and, if it finds one, a similar stack that can be built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stacker.arch.dimensions import select_text_config
from stacker.arch.files.architecture import CHECK_ONLY, POSITIONAL, LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError, find_names
from stacker.arch.layer_rules import build_entry, infer_list_rules, is_applicable, read_layer_value, solve_entries
from stacker.core.config.nearest import find_nearest_stack
from stacker.core.config.refusals import REFUSALS, OutputLayer, RuleValues, formula_names, slices_text
from stacker.core.values.donor import Donor
from stacker.errors import Problem, select_errors
from stacker.formats.json_object import Json

Feeds = Sequence[tuple[Donor, int]]


@dataclass(slots=True)
class LayerEntries:
    """Changes to the template's config: entries to set, dotted paths of entries to remove, and the problems found."""

    entries: dict[str, Json] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def apply_layer_rules(template: Donor, outputs: Sequence[OutputLayer], ends: Sequence[Donor] = ()) -> LayerEntries:
    """Apply every per-layer rule of the template's family to the output layers and return the changes to the config.

    `ends` are the donors of the embedding and the head.
    """
    changes = LayerEntries()
    names = {donor.name: formula_names(donor) for output in outputs for donor, _ in output.feeds}
    names[template.name] = formula_names(template)
    rules = [rule for rule in template.architecture.rules if is_applicable(rule, names[template.name])]
    rules += infer_text_list_rules(template, rules)
    collected = [*_collect_values(rules, outputs, names, ends, changes.problems)]
    refused = [*_find_refusals(collected, names[template.name])]
    changes.problems += _suggest_nearest(refused, collected, names, template.name)
    for values in collected:
        _add_entries(values, names[template.name], changes)
    changes.problems += _check_missing_entries(template, rules, outputs, names)
    return changes


def _collect_values(
    rules: Sequence[LayerRule],
    outputs: Sequence[OutputLayer],
    names: Mapping[str, Mapping[str, Any]],
    ends: Sequence[Donor],
    problems: list[Problem],
) -> Iterator[RuleValues]:
    """Yield each rule together with its values for all output layers.

    A rule is left out and reported in `problems` if a value is missing or a blend's donor layers have different values.
    `names` has each donor's variables for formulas, and `ends` are the donors of the embedding and the head.
    """
    for rule in rules:
        values = _layer_values(rule, outputs, names, problems)
        if values is not None:
            yield RuleValues(rule, outputs, values, tuple(ends))


def infer_text_list_rules(donor: Donor, rules: Sequence[LayerRule]) -> Iterator[LayerRule]:
    """Yield a rule for each config entry that is a list of strings, one for each layer, and that no rule mentions."""
    config = select_text_config(donor.architecture, donor.config)
    lists = {key: value for key, value in config.items() if not isinstance(value, list) or all(map(_is_text, value))}
    return infer_list_rules(lists, rules, donor.depth, frozenset({"architectures"}))


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _layer_values(
    rule: LayerRule, outputs: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]], problems: list[Problem]
) -> list[Json] | None:
    """The rule's value for each output layer, computed with each donor's variables for formulas (`names`).

    Returns None and adds a problem to `problems` if a value is missing or a blend's donor layers have different values.
    """
    values: list[Json] = []
    for output in outputs:
        try:
            blended = [_donor_value(rule, donor, names[donor.name], layer) for donor, layer in output.feeds]
        except FormulaError as error:
            message = f"no config has '{rule.key or rule.name}' for {output.text}: {error}"
            problems.append(Problem(message, "start from another donor's config: `config: <donor>`", output.mark))
            return None
        if any(value != blended[0] for value in blended):
            listed = " and ".join(repr(value) for value in blended)
            message = f"layer {output.index} blends layers of different kinds: {rule.name} is {listed} in {output.text}"
            problems.append(Problem(message, "shift one of the slices until the layers match", output.mark))
            return None
        values.append(blended[0])
    return values


def _donor_value(rule: LayerRule, donor: Donor, names: Mapping[str, Any], layer: int) -> Json:
    """The value that a rule has for one layer of a donor; `names` has the donor's variables for formulas.

    The value is computed with the rule of the same name in the donor's own family, or with `rule` if that family has
    no rule of this name.
    """
    own = next((one for one in donor.architecture.rules if one.name == rule.name and is_applicable(one, names)), rule)
    return read_layer_value(own, names, layer)


def _find_refusals(collected: Sequence[RuleValues], names: Mapping[str, Any]) -> Iterator[Problem]:
    for values in collected:
        refusal = REFUSALS.get(values.rule.write)
        problem = refusal(values, names) if refusal else None
        if problem:
            yield problem


def _suggest_nearest(
    refused: Sequence[Problem], collected: Sequence[RuleValues], names: Mapping[str, Mapping[str, Any]], template: str
) -> Sequence[Problem]:
    """Return the problems `refused`; if a similar stack passes all rules, the hints of the errors name that stack."""
    outputs = find_nearest_stack(collected, names[template]) if select_errors(refused) else None
    if outputs is None or any(len(output.feeds) > 1 for output in outputs):
        return refused
    others: list[Problem] = []
    again = [*_collect_values([values.rule for values in collected], outputs, names, collected[0].ends, others)]
    if others or select_errors(_find_refusals(again, names[template])):
        return refused
    stack = slices_text([output.feeds[0] for output in outputs])
    errors = select_errors(refused)
    return [
        replace(problem, hint=f"{problem.hint}; a stack that works: {stack}") if problem in errors else problem
        for problem in refused
    ]


def _add_entries(values: RuleValues, names: Mapping[str, Any], changes: LayerEntries) -> None:
    """Add to `changes` the config entries that express a rule's values for all layers, and the paths to remove.

    `names` has the template's variables for formulas. The entries may be wrong if the stack is refused anyway.
    """
    if values.rule.write is WriteKind.SOLVE:
        changes.entries.update(solve_entries(values.rule, names, values.values).entries)
    elif values.rule.write not in CHECK_ONLY:
        entry = build_entry(values.rule.write, values.values)
        changes.entries[values.rule.key] = _write_as_before(entry, names.get(values.rule.key))
    changes.entries.update(values.rule.put)
    changes.drop |= {key for key in values.rule.drop if not _still_holds(values, key, names)}


def _write_as_before(entry: Json, before: Json) -> Json:
    """The entry; as text if it is a list of letters and the template's entry `before` is text."""
    return "".join(map(str, entry)) if isinstance(before, str) and isinstance(entry, list) else entry


def _still_holds(values: RuleValues, key: str, names: Mapping[str, Any]) -> bool:
    """Whether a config entry that the rule removes, such as a period, is stated and implies every layer's value.

    Such an entry is kept, because some programs read it instead of the list. `names` has the template's variables.
    """
    implied = [formula for formula in values.rule.read if key in find_names([formula])]
    written = {values.rule.key, *dict(values.rule.put)}
    if not implied or written & find_names(implied[-1:]) or key not in names:
        return False
    whole = {**names, "depth": len(values.outputs)}
    try:
        return all(implied[-1].value({**whole, "i": index}) == value for index, value in enumerate(values.values))
    except FormulaError:
        return False


def _check_missing_entries(
    template: Donor, rules: Sequence[LayerRule], outputs: Sequence[OutputLayer], names: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Report each per-layer entry that the config of a layer's donor has and the template's config lacks.

    `names` has each donor's variables for formulas; `rules` are the rules that apply to the template.
    """
    known = {rule.name for rule in rules}
    donors = {donor.name: donor for output in outputs for donor, _ in output.feeds}
    for donor in donors.values():
        for rule in donor.architecture.rules:
            if rule.name not in known and rule.write not in POSITIONAL and is_applicable(rule, names[donor.name]):
                what = rule.key or rule.name
                message = f"layers of '{donor.name}' each have a '{what}', which the config of '{template.name}' lacks"
                yield Problem(message, f"start from the config that has it: `config: {donor.name}`")
