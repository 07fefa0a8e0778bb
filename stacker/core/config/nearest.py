"""Suggests a stack similar to a refused stack: layers that do not fit their position are replaced by other layers.

Only config values are compared; the caller must check the suggestion against all rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.layer_rules import solve_entries
from stacker.core.config.refusals import OutputLayer, RuleValues, find_true_layers, formula_names, value_at
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json

Requirement = Callable[[Donor, int], bool]
"""Tells whether a donor layer, given by its donor and its index, is allowed at one position of the stack."""


def find_nearest_stack(rules: Sequence[RuleValues], names: Mapping[str, Any]) -> list[OutputLayer] | None:
    """The output layers, with each layer that does not fit replaced by the nearest layer that all rules allow there.

    Returns None if no donor layer is allowed at some position, or if a blend would have to be replaced. `names` has the
    values from the template's config that formulas may use.
    """
    outputs = list(rules[0].outputs)
    requirements = [[*_requirements(values, names)] for values in rules]
    donors = list({donor.name: donor for output in outputs for donor, _ in output.feeds}.values())
    for index, output in enumerate(outputs):
        allowed = [of_rule[index] for of_rule in requirements if of_rule]
        if all(allows(*output.feeds[0]) for allows in allowed):
            continue
        feed = next((feed for feed in _nearby_layers(output, donors) if all(allows(*feed) for allows in allowed)), None)
        if feed is None or len(output.feeds) > 1:
            return None
        outputs[index] = replace(output, feeds=(feed,))
    return outputs


def _nearby_layers(output: OutputLayer, donors: Sequence[Donor]) -> Iterator[tuple[Donor, int]]:
    """Yield all layers of all donors as (donor, layer index), beginning with the donor of the output layer.

    In each donor, the layers whose index is nearest to that of the output layer's present donor layer come first.
    """
    own, layer = output.feeds[0]
    for donor in (own, *(other for other in donors if other.name != own.name)):
        for index in sorted(range(donor.depth), key=lambda index: abs(index - layer)):
            yield donor, index


def _requirements(values: RuleValues, names: Mapping[str, Any]) -> Sequence[Requirement]:
    """For each output position, the test that the rule applies to the layer at that position.

    The result is empty if the rule cannot be tested layer by layer.
    """
    rule, count = values.rule, len(values.values)
    true = sum(map(bool, values.values))
    match rule.write:
        case WriteKind.POSITION:
            whole = {**names, "depth": count}
        case WriteKind.SOLVE:
            whole = {**names, "depth": count, **solve_entries(rule, names, values.values).entries}
        case WriteKind.PREFIX:
            return [_has_value(rule, value) for value in [True] * true + [False] * (count - true)]
        case WriteKind.SUFFIX:
            return [_has_value(rule, value) for value in [False] * (count - true) + [True] * true]
        case WriteKind.CONSTANT:
            return [_has_value(rule, values.values[0])] * count
        case WriteKind.LAST:
            return [_any_layer] * (count - 1) + [_has_value(rule, True)]
        case WriteKind.SHARED | WriteKind.WHOLE:
            return [*_shared_requirements(values)]
        case _:
            return ()
    return [_has_value(rule, value_at(rule, whole, index)) for index in range(count)]


def _shared_requirements(values: RuleValues) -> Iterator[Requirement]:
    """For each output position, yield the test that a rule of kind `shared` or `whole` applies to the layer there.

    All layers for which the rule is true must come from one donor. For `shared`, the first of them must be the donor's
    first such layer; for `whole`, they must be all such layers of the donor, in the donor's order.
    """
    owner = next((output.feeds[0][0] for output in values.outputs if values.values[output.index]), None)
    layers = find_true_layers(values.rule, owner) if owner else []
    whole, taken = values.rule.write is WriteKind.WHOLE, 0
    for value in values.values:
        if not value or (whole and taken >= len(layers)) or owner is None:
            yield _has_value(values.rule, False)
        elif whole or not taken:
            yield _is_layer(owner, layers[taken])
        else:
            yield _is_from(values.rule, owner)
        taken += bool(value)


def _has_value(rule: LayerRule, value: Json) -> Requirement:
    return lambda donor, layer: value_at(rule, formula_names(donor), layer) == value


def _is_layer(owner: Donor, wanted: int) -> Requirement:
    return lambda donor, layer: (donor.name, layer) == (owner.name, wanted)


def _is_from(rule: LayerRule, owner: Donor) -> Requirement:
    return lambda donor, layer: donor.name == owner.name and bool(value_at(rule, formula_names(donor), layer))


def _any_layer(_: Donor, __: int) -> bool:
    return True
