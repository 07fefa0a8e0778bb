"""A spec with its repeats and named stacks written out: a plain list of slices and blends, as mergekit wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from stacker.errors import Mark, Problem
from stacker.spec.language.parameters import EVERYTHING, canonical
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    Gradient,
    Item,
    Parameter,
    RepeatSpec,
    Rule,
    Setting,
    SliceSpec,
    StackSpec,
    UseSpec,
    Value,
)


@dataclass(frozen=True, slots=True)
class _Unrolling:
    spec: StackSpec
    found: list[Problem]
    depths: Mapping[str, int]
    ramps: Mapping[str, str]

    def report(self, message: str, mark: Mark | None, hint: str = "") -> None:
        self.found.append(Problem(message, hint, mark))


def unrolled(
    spec: StackSpec, found: list[Problem], depths: Mapping[str, int], ramps: Mapping[str, str]
) -> tuple[FlatItem, ...]:
    """The runs of a spec in order; what cannot be written as slices and blends goes to `found`.

    `depths` are the donors' numbers of layers, as far as they are known; `ramps` is, for each op, the
    parameter that a crossfade drives.
    """
    state = _Unrolling(spec, found, depths, ramps)
    return tuple(run for item in spec.stack for run in _runs(item, state))


def _runs(item: Item, state: _Unrolling) -> Iterator[FlatItem]:
    match item:
        case SliceSpec() | BlendSpec():
            yield item
        case CrossfadeSpec():
            yield from _faded(item, state)
        case RepeatSpec():
            yield from _copies(item, state)
        case UseSpec(name):
            for inner in next(named.items for named in state.spec.stacks if named.name == name):
                yield from _runs(inner, state)


def _faded(item: CrossfadeSpec, state: _Unrolling) -> Iterator[FlatItem]:
    """A crossfade as what stands around the overlaps, and a blend for each overlapping layer."""
    pieces = [replace(piece, start=piece.start or 0, stop=_stop(piece, state)) for piece in item.sources]
    if any(piece.stop is None for piece in pieces):
        hint = "write where each slice ends, with the donor's number of layers"
        state.report("mergekit has no crossfade, and where it begins and ends is not known", item.mark, hint)
    elif any(piece.scale or _varies(piece.settings) for piece in pieces):
        hint = "write the overlapping layers as blends of one layer"
        state.report("mergekit has no crossfade, and factors of its slices cannot be spread out", item.mark, hint)
    else:
        yield from crossfade_runs(item, tuple(pieces), state.ramps.get(item.op, ""))


def _stop(piece: SliceSpec, state: _Unrolling) -> int | None:
    return state.depths.get(piece.donor) if piece.stop is None else piece.stop


def _varies(settings: tuple[Setting, ...]) -> bool:
    return any(isinstance(rule.value, Gradient) for each in settings for rule in each.parameter.rules)


def _copies(item: RepeatSpec, state: _Unrolling) -> Iterator[FlatItem]:
    once = [run for inner in item.items for run in _runs(inner, state)]
    yield from once
    if item.times > 1 and item.scale:
        once = list(_scaled(once, item, item.scale, state))
    for _ in range(item.times - 1):
        yield from once


def _scaled(runs: list[FlatItem], item: RepeatSpec, scale: Parameter, state: _Unrolling) -> Iterator[FlatItem]:
    if len(runs) > 1 and any(isinstance(rule.value, Gradient) for rule in scale.rules):
        hint = "give each slice its own factors"
        state.report("a gradient over several repeated slices cannot be said in mergekit", item.mark, hint)
    for run in runs:
        if isinstance(run, BlendSpec):
            state.report("mergekit cannot scale what it blends", item.mark)
            continue
        product = product_of(run.scale, scale)
        if product is None:
            hint = "write the product of both factors yourself"
            state.report("two sets of factors on one slice cannot be said in mergekit", item.mark, hint)
        yield replace(run, scale=product)


def product_of(one: Parameter | None, other: Parameter) -> Parameter | None:
    """Both factors as one, where either is a single number or both have the same rules; None elsewhere."""
    if one is None:
        return other
    for constant, rules in ((_constant(one), other.rules), (_constant(other), one.rules)):
        if constant is not None:
            scaled = (Rule(rule.match, _times(rule.value, constant)) for rule in rules)
            return Parameter(canonical((*scaled, Rule(EVERYTHING, constant))))
    values = [_product(a.value, b.value) for a, b in zip(one.rules, other.rules, strict=False)]
    matches = [rule.match for rule in one.rules]
    if None in values or matches != [rule.match for rule in other.rules]:
        return None
    return Parameter(
        tuple(Rule(match, value) for match, value in zip(matches, values, strict=True) if value is not None)
    )


def _constant(parameter: Parameter) -> float | None:
    match parameter.rules:
        case (Rule(match, float() as value),) if match == EVERYTHING:
            return value
        case _:
            return None


def _times(value: Gradient | Value, factor: float) -> Gradient | float:
    if isinstance(value, Gradient):
        return Gradient(tuple(knot * factor for knot in value.knots))
    return float(value) * factor


def _product(one: Gradient | Value, other: Gradient | Value) -> Gradient | float | None:
    if isinstance(other, Gradient):
        return None if isinstance(one, Gradient) else _times(other, float(one))
    return _times(one, float(other))


FlatItem = SliceSpec | BlendSpec


def crossfade_runs(item: CrossfadeSpec, pieces: tuple[SliceSpec, ...], ramp: str) -> Iterator[FlatItem]:
    """The runs of a crossfade of `pieces`, whose ends are all known, without factors or gradients of their own."""
    yield from _between(pieces[0], 0, item.over)
    for number, (left, right) in enumerate(pairwise(pieces), start=2):
        yield from (_overlap(item, left, right, position, ramp) for position in range(item.over))
        yield from _between(right, item.over, item.over if number < len(pieces) else 0)


def _between(piece: SliceSpec, skip: int, leave: int) -> Iterator[SliceSpec]:
    """The layers of a piece but for the first `skip` and the last `leave`."""
    start, stop = (piece.start or 0) + skip, (piece.stop or 0) - leave
    if start < stop:
        yield SliceSpec(piece.donor, start, stop, mark=piece.mark)


def _overlap(item: CrossfadeSpec, left: SliceSpec, right: SliceSpec, position: int, ramp: str) -> BlendSpec:
    sources: tuple[SliceSpec, ...] = (
        _layer(left, (left.stop or 0) - item.over + position),
        _layer(right, (right.start or 0) + position),
    )
    settings = tuple(_fixed(setting, position, item.over) for setting in item.settings)
    base = _layer(item.base, (item.base.start or 0) + position) if item.base else None
    share = (position + 1) / (item.over + 1)
    if ramp in {setting.name for setting in settings}:
        ramp = ""
    if ramp == "t":
        settings += (_constant_setting("t", share),)
    elif ramp == "weight":
        weights = (1.0 - share, share)
        pairs = zip(sources, weights, strict=True)
        sources = tuple(
            replace(each, settings=(*each.settings, _constant_setting("weight", share))) for each, share in pairs
        )
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


def _constant_setting(name: str, value: float) -> Setting:
    return Setting(name, Parameter((Rule(EVERYTHING, value),)))
