"""Embedding, norm and head when they are made as the slice beside them is: mergekit's rule."""

from __future__ import annotations

from dataclasses import replace

from stacker.spec.model import BlendSpec, Parameter, Part, Rule, SliceSpec
from stacker.spec.parameters import EVERYTHING

_OUTER_ROLES = ("embed", "head", "norm")


def outside_of(run: SliceSpec | BlendSpec) -> Part:
    """The embedding or head made as a run of layers is made: whole donors, the same op and parameters."""
    if isinstance(run, SliceSpec):
        return replace(run, start=None, stop=None)
    sources = tuple(replace(source, start=None, stop=None) for source in run.sources)
    return replace(run, sources=sources, base=replace(run.base, start=None, stop=None) if run.base else None)


def same_part(one: Part, other: Part) -> bool:
    """Whether two parts come to the same tensors, rules that only select tensors of layers disregarded."""
    return _comparable(one) == _comparable(other)


def _comparable(part: Part) -> object:
    if isinstance(part, SliceSpec):
        scale = _outer(part.scale)
        neutral = scale is None or all(rule.value == 1.0 for rule in scale.rules)
        return (part.donor, None if neutral else scale, _settings(part))
    return (part.op, tuple(map(_comparable, part.sources)), part.base and _comparable(part.base), _settings(part))


def _settings(part: Part) -> frozenset[tuple[str, Parameter | None]]:
    return frozenset((setting.name, _outer(setting.parameter)) for setting in part.settings)


def _outer(parameter: Parameter | None) -> Parameter | None:
    """The rules that can select a tensor outside the layers."""
    return None if parameter is None else Parameter(tuple(filter(_may_be_outside, parameter.rules)))


def _may_be_outside(rule: Rule) -> bool:
    return EVERYTHING in rule.match or rule.match.partition(".")[0] in _OUTER_ROLES
