"""Finds the reasons why no config of a model family can express a stack.

Each kind of per-layer rule has one function. It returns a problem with the reason and a hint, or None if the rule
allows the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.layer_rules import read_layer_value, solve_entries
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem, Severity
from stacker.formats.json_object import Json


@dataclass(frozen=True, slots=True)
class OutputLayer:
    """A layer of the stack: its index from 0, the donor layers it is made from (`feeds`), and its place in the spec.

    Each donor layer is given as (donor, layer index); only a blend is made from more than one.
    """

    index: int
    feeds: tuple[tuple[Donor, int], ...]
    mark: Mark | None = None

    @property
    def text(self) -> str:
        return " and ".join(f"{donor.name}[{layer}]" for donor, layer in self.feeds)


@dataclass(frozen=True, slots=True)
class RuleValues:
    """A per-layer rule with its value for each output layer; `ends` are the donors of the embedding and the head."""

    rule: LayerRule
    outputs: Sequence[OutputLayer]
    values: Sequence[Json]
    ends: tuple[Donor, ...] = ()

    def slices(self, chosen: Callable[[int], bool]) -> str:
        """Format the output layers whose index passes the test `chosen` as donor slices, such as `a[0:2], b[5:6]`.

        For a blend, the text contains only the first of its donor layers.
        """
        return slices_text([output.feeds[0] for output in self.outputs if chosen(output.index)])


def formula_names(donor: Donor) -> dict[str, Any]:
    """The variables that a rule's formulas may use: a donor's config entries, its dimensions, and its `depth`."""
    return {**collect_names(donor.architecture, donor.config), "depth": donor.depth}


def _refuse_prefix(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """A problem if the rule's value is false for a layer and true for a later layer, else None."""
    first = next((index for index, value in enumerate(values.values) if not value), len(values.values))
    late = [index for index, value in enumerate(values.values) if value and index > first]
    if not late:
        return None
    output = values.outputs[late[0]]
    reason = values.rule.reason or f"layers counted by '{values.rule.key}' must come first"
    message = f"{reason}: layer {output.index} ({output.text}) comes after layer {first} ({values.outputs[first].text})"
    hint = f"drop {values.slices(lambda index: index in late)}, or move it to the beginning of the stack"
    return Problem(message, hint, output.mark)


def _refuse_suffix(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """A problem if the rule's value is true for a layer and false for a later layer, else None."""
    last = max((index for index, value in enumerate(values.values) if not value), default=-1)
    early = [index for index, value in enumerate(values.values) if value and index < last]
    if not early:
        return None
    output = values.outputs[early[0]]
    reason = values.rule.reason or f"layers counted by '{values.rule.key}' must come last"
    message = f"{reason}: layer {output.index} ({output.text}) comes before layer {last} ({values.outputs[last].text})"
    hint = f"drop {values.slices(lambda index: index in early)}, or move it to the end of the stack"
    return Problem(message, hint, output.mark)


def _refuse_constant(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """A problem if the rule's value is not the same for all layers, else None."""
    other = next((index for index, value in enumerate(values.values) if value != values.values[0]), None)
    if other is None:
        return None
    output = values.outputs[other]
    reason = values.rule.reason or f"the config has one '{values.rule.key}' for all layers"
    message = (
        f"{reason}: it is {values.values[0]!r} in {values.outputs[0].text}, {values.values[other]!r} in {output.text}"
    )
    alike = values.slices(lambda index: values.values[index] == values.values[0])
    return Problem(message, f"use only layers with one value, such as {alike}", output.mark)


def _refuse_position(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """A problem if the rule's value for a layer is not the value that the layer's new position implies, else None."""
    whole = {**names, "depth": len(values.outputs)}
    moved = [index for index, value in enumerate(values.values) if value_at(values.rule, whole, index) != value]
    return _misplaced_problem(values, whole, moved)


def _refuse_unsolved(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """A problem if the config entries that the rule may change cannot produce all layers' values, else None."""
    found = solve_entries(values.rule, names, values.values)
    return _misplaced_problem(values, {**names, "depth": len(values.outputs), **found.entries}, found.misfits)


def _refuse_last(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """A problem if the rule's value is false for the last layer, else None."""
    if not values.values or values.values[-1]:
        return None
    output = values.outputs[-1]
    reason = values.rule.reason or f"'{values.rule.name}' must be true for the last layer"
    message = f"{reason}: {output.text} cannot be layer {output.index}"
    return Problem(message, _suggest_layers(values, True, output), output.mark)


def _misplaced_problem(values: RuleValues, names: Mapping[str, Any], misfits: Sequence[int]) -> Problem | None:
    """A problem that reports output layers at positions they do not fit; None if `misfits` is empty.

    `misfits` lists the layers whose value differs from what the config entries in `names` imply at that position.
    """
    if not misfits:
        return None
    output = values.outputs[misfits[0]]
    reason = values.rule.reason or f"'{values.rule.name}' depends on a layer's position"
    others = len(misfits) - 1
    more = f" (and {others} more layer{'s' if others > 1 else ''})" if others else ""
    message = f"{reason}: {output.text} cannot be layer {output.index}{more}"
    return Problem(message, _suggest_layers(values, value_at(values.rule, names, output.index), output), output.mark)


def value_at(rule: LayerRule, names: Mapping[str, Any], index: int) -> Json:
    """A rule's value for layer `index` in a config with the entries `names`; None if no formula of the rule applies."""
    try:
        return read_layer_value(rule, names, index)
    except FormulaError:
        return None


def _suggest_layers(values: RuleValues, wanted: Json, output: OutputLayer) -> str:
    """A hint that names layers of the refused layer's donor for which the rule has the value `wanted`.

    It names up to three layers, those nearest to the refused layer; if there are none, the hint says so.
    """
    donor, layer = output.feeds[0]
    own = formula_names(donor)
    fitting = [i for i in range(donor.depth) if wanted is not None and value_at(values.rule, own, i) == wanted]
    nearest = sorted(sorted(fitting, key=lambda index: abs(index - layer))[:3])
    if not nearest:
        return f"no layer of '{donor.name}' fits there: keep layers at the positions that they have in their donor"
    return f"layers that fit there: {', '.join(f'{donor.name}[{index}]' for index in nearest)}"


def _refuse_unsupplied(values: RuleValues, _: Mapping[str, Any]) -> Problem | None:
    """A problem if a layer takes something that no earlier layer provides, else None.

    The rule's value for a layer is a pair [what the layer provides, what it takes].
    """
    available: list[Json] = []
    for output, value in zip(values.outputs, values.values, strict=True):
        provided, taken = value if isinstance(value, list) else (None, None)
        if taken is not None and taken not in available:
            reason = values.rule.reason or f"'{values.rule.name}' is taken from an earlier layer"
            message = f"{reason}: no layer before layer {output.index} ({output.text}) provides '{taken}'"
            return Problem(message, f"put a layer that provides '{taken}' before it", output.mark)
        available.append(provided)
    return None


def _refuse_shared(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """A problem if layers that share tensors come from several donors or begin with the wrong layer, else None.

    Layers share tensors if the rule's value is true for them. The first sharing layer of the stack must be the first
    sharing layer of its donor, because only that layer has the tensors.
    """
    chosen = [output for output in values.outputs if values.values[output.index]]
    if not chosen:
        return None
    owner, wanted = chosen[0].feeds[0][0], find_true_layers(values.rule, chosen[0].feeds[0][0])[:1]
    foreign = [output for output in chosen if any(donor.name != owner.name for donor, _ in output.feeds)]
    if not foreign and [layer for _, layer in chosen[0].feeds] == wanted:
        return _refuse_ends(values, names) if len(chosen) > 1 else None
    return _separated_problem(values, foreign[0] if foreign else chosen[0], owner, wanted)


def _refuse_whole(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """A problem if the layers for which the rule's value is true are from several donors or incomplete, else None.

    They are complete if they are all layers of the donor for which the value is true, in the donor's order.
    """
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
    """A problem if embedding and head come from different donors in a stack whose layers share tensors, else None.

    Programs that load the model tie either all of these (embedding with head, shared layer tensors) or none. If the
    config leaves the head untied, nothing is tied and there is no problem.
    """
    ends = list(dict.fromkeys(donor.name for donor in values.ends))
    if len(ends) < 2 or names.get("tie_word_embeddings") is False:
        return None
    parts = f"the embedding is of '{ends[0]}', the head of '{ends[1]}'"
    message = f"{values.rule.reason}, which loads only where embedding and head are tied: {parts}"
    return Problem(message, f"take both from one donor: `head: {ends[0]}`")


def find_true_layers(rule: LayerRule, donor: Donor) -> list[int]:
    """The indices of a donor's layers for which the rule's value is true."""
    names = formula_names(donor)
    return [index for index in range(donor.depth) if value_at(rule, names, index)]


def _separated_problem(values: RuleValues, output: OutputLayer, owner: Donor, wanted: Sequence[int]) -> Problem:
    reason = values.rule.reason or f"layers that share '{values.rule.name}' must come from one donor"
    needed = slices_text([(owner, layer) for layer in wanted])
    if values.rule.write is WriteKind.SHARED:
        hint = f"take these layers from one donor, beginning with {needed}"
    else:
        hint = f"take exactly {needed} as these layers, in this order"
    return Problem(f"{reason}: {output.text} cannot be layer {output.index}", hint, output.mark)


def _advise_position(values: RuleValues, names: Mapping[str, Any]) -> Problem | None:
    """A warning if the rule's value for a layer is not the value that the layer's new position implies, else None.

    It is for rules whose value does not affect the meaning of the layer's weights.
    """
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
    """Format donor layers, given as (donor, layer index), in the slice notation of specs, such as `a[0:2], b[5:6]`."""
    slices: list[tuple[str, int, int]] = []
    for donor, layer in feeds:
        if slices and slices[-1][0] == donor.name and slices[-1][2] == layer:
            slices[-1] = (donor.name, slices[-1][1], layer + 1)
        else:
            slices.append((donor.name, layer, layer + 1))
    return ", ".join(f"{name}[{start}:{stop}]" for name, start, stop in slices)
