"""A spec with its repeats and named stacks written out: a plain list of slices and blends, as mergekit wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from stacker.errors import Mark, Problem
from stacker.spec.faded import Run, crossfade_runs
from stacker.spec.model import (
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
from stacker.spec.parameters import EVERYTHING, canonical


@dataclass(frozen=True, slots=True)
class _Unrolling:
    spec: StackSpec
    found: list[Problem]
    depths: Mapping[str, int]

    def report(self, message: str, mark: Mark | None, hint: str = "") -> None:
        self.found.append(Problem(message, hint, mark))


def unrolled(spec: StackSpec, found: list[Problem], depths: Mapping[str, int]) -> tuple[Run, ...]:
    """The runs of a spec in order; what cannot be written as slices and blends goes to `found`.

    `depths` are the donors' numbers of layers, as far as they are known.
    """
    state = _Unrolling(spec, found, depths)
    return tuple(run for item in spec.stack for run in _runs(item, state))


def _runs(item: Item, state: _Unrolling) -> Iterator[Run]:
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


def _faded(item: CrossfadeSpec, state: _Unrolling) -> Iterator[Run]:
    """A crossfade as what stands around the overlaps, and a blend for each overlapping layer."""
    pieces = [replace(piece, start=piece.start or 0, stop=_stop(piece, state)) for piece in item.sources]
    if any(piece.stop is None for piece in pieces):
        hint = "write where each slice ends, with the donor's number of layers"
        state.report("mergekit has no crossfade, and where it begins and ends is not known", item.mark, hint)
    elif any(piece.scale or _varies(piece.settings) for piece in pieces):
        hint = "write the overlapping layers as blends of one layer"
        state.report("mergekit has no crossfade, and factors of its slices cannot be spread out", item.mark, hint)
    else:
        yield from crossfade_runs(item, tuple(pieces))


def _stop(piece: SliceSpec, state: _Unrolling) -> int | None:
    return state.depths.get(piece.donor) if piece.stop is None else piece.stop


def _varies(settings: tuple[Setting, ...]) -> bool:
    return any(isinstance(rule.value, Gradient) for each in settings for rule in each.parameter.rules)


def _copies(item: RepeatSpec, state: _Unrolling) -> Iterator[Run]:
    once = [run for inner in item.items for run in _runs(inner, state)]
    yield from once
    if item.times > 1 and item.scale:
        once = list(_scaled(once, item, item.scale, state))
    for _ in range(item.times - 1):
        yield from once


def _scaled(runs: list[Run], item: RepeatSpec, scale: Parameter, state: _Unrolling) -> Iterator[Run]:
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
