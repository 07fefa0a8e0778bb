"""What a rule forbids: stacks that no config of the family can express, with the reason and the nearest that works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stacker.arch.dimensions import names_in
from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.layer_rules import layer_value, solve
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem, Severity
from stacker.formats.json_object import Json


@dataclass(frozen=True, slots=True)
class OutputLayer:
    """An output layer: its index, the donor layers that feed it, and where the spec asks for it."""

    index: int
    feeds: tuple[tuple[Donor, int], ...]
    mark: Mark | None = None

    @property
    def text(self) -> str:
        return " and ".join(f"{donor.name}[{layer}]" for donor, layer in self.feeds)


@dataclass(frozen=True, slots=True)
class RuleValues:
    """A rule with the value each output layer brings, in order; `ends` are the donors of what stands around them."""

    rule: LayerRule
    outputs: Sequence[OutputLayer]
    values: Sequence[Json]
    ends: tuple[Donor, ...] = ()

    def slices(self, chosen: Callable[[int], bool]) -> str:
        """The output layers whose index is chosen, as slices of their (first) donors."""
        return slices_text([output.feeds[0] for output in self.outputs if chosen(output.index)])


def formula_names(donor: Donor) -> dict[str, Any]:
    return {**names_in(donor.architecture, donor.config), "depth": donor.depth}


def _refuse_prefix(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """Layers for which the rule is true must come before all others."""
    first = next((index for index, value in enumerate(values.values) if not value), len(values.values))
    late = [index for index, value in enumerate(values.values) if value and index > first]
    if not late:
        return None
    output = values.outputs[late[0]]
    reason = values.rule.reason or f"layers counted by '{values.rule.key}' must come first"
    message = f"{reason}: layer {output.index} ({output.text}) comes after layer {first} ({values.outputs[first].text})"
    hint = f"drop {values.slices(lambda index: index in late)}, or begin the stack with it"
    return Problem(message, hint, output.mark)


def _refuse_suffix(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """Layers for which the rule is true must come after all others."""
    last = max((index for index, value in enumerate(values.values) if not value), default=-1)
    early = [index for index, value in enumerate(values.values) if value and index < last]
    if not early:
        return None
    output = values.outputs[early[0]]
    reason = values.rule.reason or f"layers counted by '{values.rule.key}' must come last"
    message = f"{reason}: layer {output.index} ({output.text}) comes before layer {last} ({values.outputs[last].text})"
    hint = f"drop {values.slices(lambda index: index in early)}, or end the stack with it"
    return Problem(message, hint, output.mark)


def _refuse_constant(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """All layers must have one value."""
    other = next((index for index, value in enumerate(values.values) if value != values.values[0]), None)
    if other is None:
        return None
    output = values.outputs[other]
    reason = values.rule.reason or f"the config has one '{values.rule.key}' for all layers"
    message = (
        f"{reason}: it is {values.values[0]!r} in {values.outputs[0].text}, {values.values[other]!r} in {output.text}"
    )
    alike = values.slices(lambda index: values.values[index] == values.values[0])
    return Problem(message, f"stack only layers of one kind, such as {alike}", output.mark)


def _refuse_position(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """Each layer must have the value that its new output gives it."""
    whole = {**names, "depth": len(values.outputs)}
    moved = [index for index, value in enumerate(values.values) if value_at(values.rule, whole, index) != value]
    return _misplaced_problem(values, whole, moved)


def _refuse_unsolved(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """There are config entries that give each layer its value."""
    found = solve(values.rule, names, values.values)
    return _misplaced_problem(values, {**names, "depth": len(values.outputs), **found.entries}, found.misfits)


def _refuse_last(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """The last layer's value is true."""
    if not values.values or values.values[-1]:
        return None
    output = values.outputs[-1]
    reason = values.rule.reason or f"'{values.rule.name}' must hold of the last layer"
    message = f"{reason}: {output.text} cannot be layer {output.index}"
    return Problem(message, _suggest_layers(values, True, output), output.mark)


def _misplaced_problem(values: RuleValues, names: Mapping[str, Any], outputs: Sequence[int]) -> Problem | None:
    """The layers at `outputs` have other values than the config entries in `names` give there."""
    if not outputs:
        return None
    output = values.outputs[outputs[0]]
    reason = values.rule.reason or f"'{values.rule.name}' depends on a layer's output"
    more = f" (and {len(outputs) - 1} more layers)" if len(outputs) > 1 else ""
    message = f"{reason}: {output.text} cannot be layer {output.index}{more}"
    return Problem(message, _suggest_layers(values, value_at(values.rule, names, output.index), output), output.mark)


def value_at(rule: LayerRule, names: Mapping[str, Any], index: int) -> Json:
    """The value that a config gives a output; None where it gives none."""
    try:
        return layer_value(rule, names, index)
    except FormulaError:
        return None


def _suggest_layers(values: RuleValues, wanted: Json, output: OutputLayer) -> str:
    """Advice: the layers of the same donor nearest to the one asked for that could stand in its output."""
    donor, layer = output.feeds[0]
    own = formula_names(donor)
    fitting = [i for i in range(donor.depth) if wanted is not None and value_at(values.rule, own, i) == wanted]
    nearest = sorted(sorted(fitting, key=lambda index: abs(index - layer))[:3])
    if not nearest:
        return f"no layer of '{donor.name}' can stand there: keep to the outputs that the donor's layers have"
    return f"in its output could stand {', '.join(f'{donor.name}[{index}]' for index in nearest)}"


def _refuse_unsupplied(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """What a layer takes, one before it gives."""
    given: list[Json] = []
    for output, value in zip(values.outputs, values.values, strict=True):
        gives, takes = value if isinstance(value, list) else (None, None)
        if takes is not None and takes not in given:
            reason = values.rule.reason or f"'{values.rule.name}' is taken from an earlier layer"
            message = f"{reason}: no layer before layer {output.index} ({output.text}) has {takes} to give"
            return Problem(message, f"put a layer before it that gives {takes}", output.mark)
        given.append(gives)
    return None


def _refuse_shared(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """The layers whose value is true use tensors of one of them: one donor's, its first before the others."""
    chosen = [output for output in values.outputs if values.values[output.index]]
    if not chosen:
        return None
    owner, wanted = chosen[0].feeds[0][0], find_true_layers(values.rule, chosen[0].feeds[0][0])[:1]
    strange = [output for output in chosen if any(donor.name != owner.name for donor, _ in output.feeds)]
    if not strange and [layer for _, layer in chosen[0].feeds] == wanted:
        return _refuse_ends(values, names) if len(chosen) > 1 else None
    return _separated_problem(values, strange[0] if strange else chosen[0], owner, wanted)


def _refuse_whole(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """The layers whose value is true are all of one donor's, in its order."""
    chosen = [output for output in values.outputs if values.values[output.index]]
    if not chosen:
        return None
    owner = chosen[0].feeds[0][0]
    wanted = find_true_layers(values.rule, owner)
    feeds = [((owner.name, layer),) for layer in wanted]
    found = [tuple((donor.name, layer) for donor, layer in output.feeds) for output in chosen]
    if found == feeds:
        return _refuse_ends(values, names) if len(chosen) > 1 else None
    alike = [one == other for one, other in zip(found, feeds, strict=False)]
    differing = alike.index(False) if False in alike else min(len(alike), len(found) - 1)
    return _separated_problem(values, chosen[differing], owner, wanted)


def _refuse_ends(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """Layers that share tensors are tied like embedding and head, and only with them: those are of one donor."""
    ends = list(dict.fromkeys(donor.name for donor in values.ends))
    if len(ends) < 2 or names.get("tie_word_embeddings") is False:
        return None
    what = f"the embedding is of '{ends[0]}', the head of '{ends[1]}'"
    message = f"{values.rule.reason}, which programs find only where embedding and head are tied: {what}"
    return Problem(message, f"take both from one donor: `head: {ends[0]}`")


def find_true_layers(rule: LayerRule, donor: Donor) -> list[int]:
    """A donor's layers whose value is true."""
    names = formula_names(donor)
    return [index for index in range(donor.depth) if value_at(rule, names, index)]


def _separated_problem(values: RuleValues, output: OutputLayer, owner: Donor, wanted: Sequence[int]) -> Problem:
    reason = values.rule.reason or f"layers that share '{values.rule.name}' must be of one donor"
    needed = slices_text([(owner, layer) for layer in wanted])
    if values.rule.write is WriteKind.SHARED:
        hint = f"take such layers from one donor, {needed} before the others"
    else:
        hint = f"of such layers take {needed}, all and in this order"
    return Problem(f"{reason}: {output.text} cannot be layer {output.index}", hint, output.mark)


def _advise_position(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """What happens by position, but in no way that belongs to a layer, is only said."""
    refused = _refuse_position(values, names)
    return replace(refused, severity=Severity.WARNING) if refused else None


REFUSALS: dict[WriteKind, Callable[[RuleValues, Mapping[str, Any]], Problem | None]] = {
    WriteKind.PREFIX: _refuse_prefix,
    WriteKind.SUFFIX: _refuse_suffix,
    WriteKind.SOLVE: _refuse_unsolved,
    WriteKind.CONSTANT: _refuse_constant,
    WriteKind.POSITION: _refuse_position,
    WriteKind.LAST: _refuse_last,
    WriteKind.SUPPLY: _refuse_unsupplied,
    WriteKind.SHARED: _refuse_shared,
    WriteKind.WHOLE: _refuse_whole,
    WriteKind.ADVISED: _advise_position,
}


def slices_text(feeds: Sequence[tuple[Donor, int]]) -> str:
    """Donor layers as the slices a spec would write: a[0:2], b[5:6]."""
    slices: list[tuple[str, int, int]] = []
    for donor, layer in feeds:
        if slices and slices[-1][0] == donor.name and slices[-1][2] == layer:
            slices[-1] = (donor.name, slices[-1][1], layer + 1)
        else:
            slices.append((donor.name, layer, layer + 1))
    return ", ".join(f"{name}[{start}:{stop}]" for name, start, stop in slices)
