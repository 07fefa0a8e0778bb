"""The nearest stack that keeps every rule: layers out of place exchanged for others that may stand there.

It looks at config values alone. Whether what it finds keeps all rules is for the caller to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stacker.arch.files.architecture import LayerRule, WriteKind
from stacker.arch.layer_rules import solve_entries
from stacker.core.config.refusals import OutputLayer, RuleValues, names_of, true_layers, value_at
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json

Demand = Callable[[Donor, int], bool]
"""Whether a donor's layer may stand in a place."""


def mended(found: Sequence[RuleValues], names: Mapping[str, Any]) -> list[OutputLayer] | None:
    """The places with layers that their rules want there, the nearest of the same donor; None where there are none.

    `names` are the entries of the config that the stack starts from. Blended layers are left as they are.
    """
    places = list(found[0].places)
    demands = [[*_demands(values, names)] for values in found]
    donors = list({donor.name: donor for place in places for donor, _ in place.feeds}.values())
    for index, place in enumerate(places):
        wanted = [each[index] for each in demands if each]
        if all(demand(*place.feeds[0]) for demand in wanted):
            continue
        feed = next((feed for feed in _near(place, donors) if all(demand(*feed) for demand in wanted)), None)
        if feed is None or len(place.feeds) > 1:
            return None
        places[index] = replace(place, feeds=(feed,))
    return places


def _near(place: OutputLayer, donors: Sequence[Donor]) -> Iterator[tuple[Donor, int]]:
    """Layers by their distance from the one in the place: those of its donor, then all others."""
    own, layer = place.feeds[0]
    for donor in (own, *(other for other in donors if other.name != own.name)):
        for index in sorted(range(donor.depth), key=lambda index: abs(index - layer)):
            yield donor, index


def _demands(values: RuleValues, names: Mapping[str, Any]) -> Sequence[Demand]:
    """What a rule wants of each place; nothing of a rule that leaves all layers where they are, or that cannot tell."""
    rule, count = values.rule, len(values.values)
    true = sum(map(bool, values.values))
    match rule.write:
        case WriteKind.POSITION:
            whole = {**names, "depth": count}
        case WriteKind.SOLVE:
            whole = {**names, "depth": count, **solve_entries(rule, names, values.values).entries}
        case WriteKind.PREFIX:
            return [_having(rule, value) for value in [True] * true + [False] * (count - true)]
        case WriteKind.SUFFIX:
            return [_having(rule, value) for value in [False] * (count - true) + [True] * true]
        case WriteKind.CONSTANT:
            return [_having(rule, values.values[0])] * count
        case WriteKind.LAST:
            return [_anything] * (count - 1) + [_having(rule, True)]
        case WriteKind.SHARED | WriteKind.WHOLE:
            return [*_together(values)]
        case _:
            return ()
    return [_having(rule, value_at(rule, whole, index)) for index in range(count)]


def _together(values: RuleValues) -> Iterator[Demand]:
    """Layers with the value are those of one donor: the first of them first, or all of them in their order."""
    owner = next((place.feeds[0][0] for place in values.places if values.values[place.index]), None)
    layers = true_layers(values.rule, owner) if owner else []
    whole, taken = values.rule.write is WriteKind.WHOLE, 0
    for value in values.values:
        if not value or (whole and taken == len(layers)) or owner is None:
            yield _having(values.rule, False)
        elif whole or not taken:
            yield _being(owner, layers[taken])
        else:
            yield _of(values.rule, owner)
        taken += bool(value)


def _having(rule: LayerRule, value: Json) -> Demand:
    return lambda donor, layer: value_at(rule, names_of(donor), layer) == value


def _being(owner: Donor, wanted: int) -> Demand:
    return lambda donor, layer: (donor.name, layer) == (owner.name, wanted)


def _of(rule: LayerRule, owner: Donor) -> Demand:
    return lambda donor, layer: donor.name == owner.name and bool(value_at(rule, names_of(donor), layer))


def _anything(_: Donor, __: int) -> bool:
    return True
