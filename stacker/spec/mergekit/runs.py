"""Turns the items of a spec into slices and blends of a mergekit file, and reports what mergekit cannot express."""

from __future__ import annotations

from dataclasses import replace

from stacker.spec.language.parameter_grammar import EVERYTHING, drop_unreachable, find_constant, has_gradient
from stacker.spec.language.stack_spec import (
    BlendSpec,
    Gradient,
    Parameter,
    Rule,
    Setting,
    SliceOrBlend,
    SliceSpec,
    Value,
)
from stacker.spec.language.unroll import FlatItem, FlatSlice, RepeatScale, unroll
from stacker.spec.mergekit.write_context import WriteContext


def make_runs(context: WriteContext) -> tuple[SliceOrBlend, ...]:
    """The slices and blends of the mergekit file, in order.

    What mergekit cannot express is added to `context.problems`.
    """
    runs, hops = [], 1.0
    for item in unroll(context.spec, context.depths, context.ramps, context.problems):
        hops *= item.hop
        runs.append(_apply_hops(context, _make_run(context, item), hops))
    return tuple(runs)


def count_stage_layers(context: WriteContext) -> int | None:
    """The number of layers that `context.spec` makes; None if it depends on a donor of unknown depth."""
    items = tuple(unroll(context.spec, context.depths, context.ramps, []))
    known = all(source.known for item in items for source in item.sources)
    return sum(item.length for item in items) if known else None


def _make_run(context: WriteContext, item: FlatItem) -> SliceOrBlend:
    for source in item.sources:
        if source.length != source.count and _has_factors(source.written):
            hint = "write the overlapping layers as blends of one layer"
            message = "mergekit has no crossfade, and factors of its slices cannot be spread out"
            context.refuse(message, item.mark, hint)
    if item.op is not None:
        return _make_blend(context, item, item.op)
    run = replace(_cut_slice(item.sources[0]), settings=())
    for scale in item.scales:
        run = replace(run, scale=_scale_by_repeat(context, item, run.scale, scale))
    return run


def _apply_hops(context: WriteContext, run: SliceOrBlend, hops: float) -> SliceOrBlend:
    """The slice with factors on what it writes to the residual stream, which replace the hops before it.

    `hops` is the product of all hops up to the slice. A problem is reported if mergekit cannot express the factors.
    """
    if hops == 1.0:
        return run
    if isinstance(run, BlendSpec):
        context.refuse("mergekit cannot scale what it blends, as a hop needs", run.mark)
        return run
    if not context.writers:
        hint = "it needs donors that can be read, of a family whose layers write through plain projections"
        context.refuse("mergekit cannot express this hop", run.mark, hint)
        return run
    scale = multiply_factors(run.scale, Parameter(tuple(Rule(role, 1.0 / hops) for role in context.writers)))
    if scale is None:
        hint = "write the factors for the same roles: " + ", ".join(context.writers)
        context.refuse("mergekit cannot express a hop together with factors for other roles", run.mark, hint)
    return replace(run, scale=scale)


def _make_blend(context: WriteContext, item: FlatItem, op: str) -> BlendSpec:
    for scale in item.scales:
        context.refuse("mergekit cannot scale what it blends", scale.mark)
    settings = item.settings
    if item.length != item.count:
        settings = tuple(_fix_setting(setting, item.position, item.count) for setting in settings)
    base = _cut_slice(item.base) if item.base else None
    return BlendSpec(tuple(map(_cut_slice, item.sources)), op, settings, base, mark=item.mark)


def _has_factors(piece: SliceSpec) -> bool:
    return piece.scale is not None or any(has_gradient(setting.parameter) for setting in piece.settings)


def _cut_slice(source: FlatSlice) -> SliceSpec:
    """The slice that the spec writes, with narrower bounds if `source` covers only some of its layers."""
    if source.length == source.count:
        return source.written
    return replace(source.written, start=source.start, stop=source.start + source.length)


def _fix_setting(setting: Setting, position: int, count: int) -> Setting:
    """The setting with every gradient replaced by its value at layer `position` of `count` layers."""
    rules = tuple(
        replace(rule, value=rule.value.at(position, count)) if isinstance(rule.value, Gradient) else rule
        for rule in setting.parameter.rules
    )
    return replace(setting, parameter=Parameter(rules))


def _scale_by_repeat(
    context: WriteContext, item: FlatItem, own: Parameter | None, scale: RepeatScale
) -> Parameter | None:
    """`own`, the factors of a slice, multiplied by the factors of a repeat around the slice.

    If mergekit cannot express the product, a problem is added to `context.problems` and the result is None.
    """
    if item.length != scale.count and has_gradient(scale.parameter):
        hint = "give each slice its own factors"
        context.refuse("a gradient over several repeated slices cannot be said in mergekit", scale.mark, hint)
    product = multiply_factors(own, scale.parameter)
    if product is None:
        hint = "write the product of both factors yourself"
        context.refuse("two sets of factors on one slice cannot be said in mergekit", scale.mark, hint)
    return product


def multiply_factors(one: Parameter | None, other: Parameter) -> Parameter | None:
    """The product of two parameters whose values are factors; `one` None means a factor of 1.

    The product is None if it would multiply two gradients, or if both parameters depend on the tensor and select
    tensors by different rules.
    """
    if one is None:
        return other
    for number, rules in ((find_constant(one), other.rules), (find_constant(other), one.rules)):
        if number is not None:
            scaled = (Rule(rule.match, _multiply_number(rule.value, number)) for rule in rules)
            return Parameter(drop_unreachable((*scaled, Rule(EVERYTHING, number))))
    if [rule.match for rule in one.rules] != [rule.match for rule in other.rules]:
        return None
    values = [_multiply_values(a.value, b.value) for a, b in zip(one.rules, other.rules, strict=True)]
    rules = tuple(Rule(rule.match, value) for rule, value in zip(one.rules, values, strict=True) if value is not None)
    return Parameter(rules) if len(rules) == len(values) else None


def _multiply_number(value: Gradient | Value, factor: float) -> Gradient | float:
    if isinstance(value, Gradient):
        return Gradient(tuple(knot * factor for knot in value.knots))
    return float(value) * factor


def _multiply_values(one: Gradient | Value, other: Gradient | Value) -> Gradient | float | None:
    """The product of two numbers or gradients; None if both are gradients."""
    if isinstance(other, Gradient):
        return None if isinstance(one, Gradient) else _multiply_number(other, float(one))
    return _multiply_number(one, float(other))
