"""An independent expansion of specs, tensor by tensor, to compare the meaning of two spellings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from stacker.spec.language.stack_spec import (
    BlendSpec,
    Gradient,
    Item,
    Parameter,
    RepeatSpec,
    Setting,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)

Sample = tuple[str, str]
LAYER: tuple[Sample, ...] = (
    ("attn.q", "model.layers.0.self_attn.q_proj.weight"),
    ("attn.o", "model.layers.0.self_attn.o_proj.weight"),
    ("mlp.down", "model.layers.0.mlp.down_proj.weight"),
    ("norm.input", "model.layers.0.input_layernorm.weight"),
)
EMBED: tuple[Sample, ...] = (("embed", "model.embed_tokens.weight"),)
HEAD: tuple[Sample, ...] = (("norm.final", "model.norm.weight"), ("head", "lm_head.weight"))
ROLE_NAMES = {"attn.o": ("o_proj",), "mlp": ("mlp",), "attn": ("self_attn",), "mlp.down": ("down_proj",)}
DEFAULTS = {"linear": {"weight": 1.0}}
Layer = tuple[Any, ...]
Scales = Sequence[tuple[Parameter, int, int]]


def meaning(spec: StackSpec, depths: Mapping[str, int]) -> dict[str, Any]:
    """The op, sources, parameters and factors of every layer for sample tensors; donors by their sources."""
    sources = {donor.name: (donor.source, donor.revision) for donor in spec.donors}
    runs = [run for item in spec.stack for run in _layers(item, spec, depths, sources)]
    embed = spec.embed or SliceSpec(_first(spec, first=True))
    config = spec.config or _donor(embed)
    return {
        "layers": runs,
        "embed": _outside(embed, EMBED, sources),
        "head": _outside(spec.head or SliceSpec(_first(spec, first=False)), HEAD, sources),
        "config": sources[config],
        "tokenizer": sources[spec.tokenizer or _donor(embed)],
        "dtype": spec.output.dtype,
    }


def _layers(item: Item, spec: StackSpec, depths: Mapping[str, int], sources: Mapping[str, Any]) -> Iterator[Layer]:
    match item:
        case SliceSpec():
            yield from _run((item,), "", (), depths, sources)
        case BlendSpec():
            yield from _run(item.sources, item.op, item.settings, depths, sources)
        case RepeatSpec():
            for copy in range(item.times):
                extra = item.scale if copy else None
                for inner in item.items:
                    assert isinstance(inner, SliceSpec)
                    yield from _run((inner,), "", (), depths, sources, extra)
        case UseSpec():
            named = next(named for named in spec.stacks if named.name == item.name)
            yield from chain.from_iterable(_layers(inner, spec, depths, sources) for inner in named.items)
        case _:
            raise AssertionError(item)


def _run(
    pieces: Sequence[SliceSpec],
    op: str,
    settings: Sequence[Setting],
    depths: Mapping[str, int],
    sources: Mapping[str, Any],
    extra: Parameter | None = None,
) -> Iterator[Layer]:
    bounds = [(piece.start or 0, depths[piece.donor] if piece.stop is None else piece.stop) for piece in pieces]
    count = bounds[0][1] - bounds[0][0]
    for at in range(count):
        layers = [(sources[piece.donor], start + at) for piece, (start, _) in zip(pieces, bounds, strict=True)]
        yield (op, layers, [_tensor(pieces, op, settings, sample, at, count, extra) for sample in LAYER])


def _tensor(
    pieces: Sequence[SliceSpec],
    op: str,
    settings: Sequence[Setting],
    sample: Sample,
    at: int,
    count: int,
    extra: Parameter | None = None,
) -> Any:
    factors = [[_value(scale, sample, at, count) for scale in (piece.scale, extra) if scale] for piece in pieces]
    products = [_product(each) for each in factors]
    weights = [_setting("weight", (*piece.settings, *settings), sample, at, count, op) for piece in pieces]
    names = {each.name for each in settings} - {"weight"}
    own = {name: _setting(name, settings, sample, at, count, op) for name in names}
    return (products, weights if op else [], own)


def _setting(name: str, settings: Sequence[Setting], sample: Sample, at: int, count: int, op: str) -> Any:
    values = (_value(each.parameter, sample, at, count) for each in settings if each.name == name)
    value = next((value for value in values if value is not None), DEFAULTS.get(op, {}).get(name))
    return round(value, 9) if isinstance(value, float) else value


def _product(values: Sequence[Any]) -> float:
    product = 1.0
    for value in values:
        product *= 1.0 if value is None else value
    return float(f"{product:.9g}")


def _value(parameter: Parameter, sample: Sample, at: int, count: int) -> Any:
    role, name = sample
    for rule in parameter.rules:
        if fnmatchcase(name, rule.match) if "*" in rule.match else (role + ".").startswith(rule.match + "."):
            return _interpolated(rule.value.knots, at, count) if isinstance(rule.value, Gradient) else rule.value
    return None


def _interpolated(knots: Sequence[float], at: int, count: int) -> float:
    """The value between equally spaced knots, linearly interpolated; a single layer has the last knot's."""
    place = (at / (count - 1) if count > 1 else 1.0) * (len(knots) - 1)
    below = min(int(place), len(knots) - 1)
    above = min(below + 1, len(knots) - 1)
    return knots[below] * (1 - (place - below)) + knots[above] * (place - below)


def _outside(part: SliceOrBlend, samples: Sequence[Sample], sources: Mapping[str, Any]) -> Any:
    pieces = (part,) if isinstance(part, SliceSpec) else part.sources
    op, settings = ("", ()) if isinstance(part, SliceSpec) else (part.op, part.settings)
    tensors = [_tensor(pieces, op, settings, sample, 0, 2) for sample in samples]
    return (op, [sources[piece.donor] for piece in pieces], tensors)


def _donor(part: SliceOrBlend) -> str:
    return part.donor if isinstance(part, SliceSpec) else part.sources[0].donor


def _first(spec: StackSpec, *, first: bool) -> str:
    item: Item = spec.stack[0 if first else -1]
    while not isinstance(item, SliceSpec | BlendSpec):
        if isinstance(item, UseSpec):
            name = item.name
            inner = next(named.items for named in spec.stacks if named.name == name)
        else:
            assert isinstance(item, RepeatSpec)
            inner = item.items
        item = inner[0 if first else -1]
    return _donor(item)
