"""A crossfade written out: the layers around each overlap as they are, and one blend for each layer that overlaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from stacker.spec.methods import METHODS
from stacker.spec.model import BlendSpec, CrossfadeSpec, Gradient, Parameter, Rule, Setting, SliceSpec
from stacker.spec.parameters import EVERYTHING

Run = SliceSpec | BlendSpec
_RAMPS = {method.op: method.ramp for method in METHODS.values()}


def crossfade_runs(item: CrossfadeSpec, pieces: tuple[SliceSpec, ...]) -> Iterator[Run]:
    """The runs of a crossfade of `pieces`, whose ends are all known, without factors or gradients of their own."""
    yield from _between(pieces[0], 0, item.over)
    for number, (left, right) in enumerate(pairwise(pieces), start=2):
        yield from (_overlap(item, left, right, position) for position in range(item.over))
        yield from _between(right, item.over, item.over if number < len(pieces) else 0)


def _between(piece: SliceSpec, skip: int, leave: int) -> Iterator[SliceSpec]:
    """The layers of a piece but for the first `skip` and the last `leave`."""
    start, stop = (piece.start or 0) + skip, (piece.stop or 0) - leave
    if start < stop:
        yield SliceSpec(piece.donor, start, stop, mark=piece.mark)


def _overlap(item: CrossfadeSpec, left: SliceSpec, right: SliceSpec, position: int) -> BlendSpec:
    sources: tuple[SliceSpec, ...] = (
        _layer(left, (left.stop or 0) - item.over + position),
        _layer(right, (right.start or 0) + position),
    )
    settings = tuple(_fixed(setting, position, item.over) for setting in item.settings)
    base = _layer(item.base, (item.base.start or 0) + position) if item.base else None
    ramp, share = _RAMPS.get(item.op, ""), (position + 1) / (item.over + 1)
    if ramp in {setting.name for setting in settings}:
        ramp = ""
    if ramp == "t":
        settings += (_constant("t", share),)
    elif ramp == "weight":
        weights = (1.0 - share, share)
        pairs = zip(sources, weights, strict=True)
        sources = tuple(replace(each, settings=(*each.settings, _constant("weight", share))) for each, share in pairs)
    return BlendSpec(sources, item.op, settings, base, item.mark)


def _layer(piece: SliceSpec, at: int) -> SliceSpec:
    return replace(piece, start=at, stop=at + 1)


def _fixed(setting: Setting, position: int, count: int) -> Setting:
    """A parameter as it is at one layer of the overlap."""
    rules = tuple(
        replace(rule, value=rule.value.at(position, count)) if isinstance(rule.value, Gradient) else rule
        for rule in setting.parameter.rules
    )
    return replace(setting, parameter=Parameter(rules))


def _constant(name: str, value: float) -> Setting:
    return Setting(name, Parameter((Rule(EVERYTHING, value),)))
