"""Defines the nodes of a stack (Node) and the donor layers they are made from (Feed), and makes them from a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from stacker.arch.files.architecture import Part
from stacker.core.values.parameters import Bound, BoundSetting, bind
from stacker.errors import Mark, Problem
from stacker.ops.shared.op import Base
from stacker.ops.table import OPS
from stacker.spec.language.checks import walk_spec
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    RepeatSpec,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
)
from stacker.spec.language.unroll import FlatItem, FlatSlice, unroll


@dataclass(frozen=True, slots=True)
class Feed:
    """A donor layer that a node is made from, with its scale factors and op parameters.

    `layer` is None if the node is made from the donor's embedding or head.
    """

    donor: str
    layer: int | None
    scales: tuple[Bound, ...] = ()
    settings: tuple[BoundSetting, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """An output layer, the embedding or the head: a copy of its only donor layer, or a blend of several by `op`.

    `feeds` are these donor layers, `settings` the parameters of the op, `base` its reference layer, and `scales` the
    factors of a repeat. `hop` is the factor on the residual stream that enters the layer, and `hops` the product of all
    factors up to this layer. `item` is the index of the node's item in the spec's stack, and `copy` is the number of
    earlier copies that a repeat made of the item.
    """

    part: Part
    index: int
    feeds: tuple[Feed, ...]
    op: str | None = None
    settings: tuple[BoundSetting, ...] = ()
    base: Feed | None = None
    scales: tuple[Bound, ...] = ()
    hop: float = 1.0
    hops: float = 1.0
    item: int = 0
    copy: int = 0
    mark: Mark | None = field(default=None, compare=False, repr=False)
    op_mark: Mark | None = field(default=None, compare=False, repr=False)


RAMPS = {op.name: op.ramp for op in OPS.values()}
"""For each op name, the parameter of the op that a crossfade changes from layer to layer; "" if there is none."""


def make_layers(spec: StackSpec, depths: Mapping[str, int], problems: list[Problem]) -> Iterator[Node]:
    """Yield the nodes of the output layers, numbered from 0, and add mistakes of the spec to `problems`.

    `depths` has the number of layers of each donor.
    """
    index, hops = 0, 1.0
    for item in unroll(spec, depths, RAMPS, problems):
        takes_base = _takes_base(item.op, item.base.written if item.base else None, problems)
        if takes_base:
            problems += _check_base(item, spec.base, depths)
        hops *= item.hop
        for layer in range(item.length):
            feeds = tuple(_make_feed(source, layer) for source in item.sources)
            base = _make_base_feed(item, layer, feeds[0], spec.base, depths) if takes_base else None
            yield replace(_make_layer(item, layer, index, feeds, base), hops=hops)
            index += 1


def make_outside(piece: SliceOrBlend, part: Part, spec: StackSpec, problems: list[Problem]) -> Node:
    """Make the node of the embedding or the head (`part`), and add mistakes of the spec to `problems`.

    `piece` is the slice or blend that the spec names for this part.
    """
    if isinstance(piece, SliceSpec):
        return Node(part, 0, (_make_outside_feed(piece),), mark=piece.mark)
    base = None
    if _takes_base(piece.op, piece.base, problems):
        base = _make_outside_feed(piece.base) if piece.base else Feed(spec.base, None) if spec.base else None
    feeds = tuple(map(_make_outside_feed, piece.sources))
    return Node(part, 0, feeds, piece.op, bind(piece.settings, 0, 2), base, mark=piece.mark, op_mark=piece.op_mark)


def outline_items(spec: StackSpec) -> Iterator[Node]:
    """Yield a node for each item and end of a spec as written, with its op and parameters but without layer numbers."""
    ends = (part for part in (spec.embed, spec.head) if part)
    for item in (*walk_spec(spec), *ends):
        match item:
            case BlendSpec(sources, op, settings, base) | CrossfadeSpec(sources, _, op, settings, base):
                feeds, bound = tuple(map(_make_outside_feed, sources)), bind(settings, 0, 2)
                named = base.donor if base else spec.base
                reference = Feed(named, None) if named else None
                yield Node(Part.LAYER, 0, feeds, op, bound, reference, mark=item.mark, op_mark=item.op_mark)
            case SliceSpec():
                yield Node(Part.LAYER, 0, (_make_outside_feed(item),), mark=item.mark)
            case RepeatSpec(_, _, scale) if scale:
                yield Node(Part.LAYER, 0, (), scales=(Bound(scale, 0, 2),), mark=item.mark)


def _takes_base(op: str | None, written: SliceSpec | None, problems: list[Problem]) -> bool:
    """Whether an op uses a base.

    If the op does not use a base but the spec has one (`written`), add a problem to `problems`.
    """
    takes = op is not None and (op not in OPS or OPS[op].base is not Base.NONE)
    if written is not None and not takes:
        problems.append(Problem(f"op '{op}' takes no base", "leave `base` out here", written.mark))
    return takes


def _check_base(item: FlatItem, donor: str | None, depths: Mapping[str, int]) -> Iterator[Problem]:
    """Report a base with fewer or more layers than the blend (`item`), or too few in `donor`, the base of the spec."""
    if item.base is not None:
        written, first = item.base.written, item.sources[0]
        if item.base.count != item.count:
            message = f"the base has {item.base.count} layers, the blend {item.count}"
            start = first.start - first.position
            yield Problem(message, _fitting_slice(written.donor, start, item.count, depths), written.mark or item.mark)
    elif donor is not None:
        last = item.sources[0].start + item.length - 1
        if last >= depths[donor]:
            message = f"the base '{donor}' has {depths[donor]} layers, and the blend needs its layer {last}"
            named = _fitting_slice(donor, depths[donor] - item.count, item.count, depths)
            yield Problem(message, named, item.mark)


def _fitting_slice(donor: str, start: int, count: int, depths: Mapping[str, int]) -> str:
    """A hint that names `count` layers of a donor as the base: those from `start` on, if it has them, or the first."""
    depth = depths[donor]
    if depth < count:
        return f"a base needs as many layers as the blend, {count}: '{donor}' has only {depth}"
    begin = start if 0 <= start <= depth - count else 0
    return f"{donor}[{begin}:{begin + count}] as the base of this blend has as many layers"


def _make_base_feed(
    item: FlatItem, layer: int, first: Feed, donor: str | None, depths: Mapping[str, int]
) -> Feed | None:
    """The reference layer for layer number `layer` of a blend; None if neither the blend nor the spec provides one.

    If the blend (`item`) names a base, its layers are used in order, and again from the first if they are too few.
    Otherwise the reference layer is the layer of `donor`, the spec's base, with the same index as `first`.
    `_check_base` reports bases that are too short.
    """
    if item.base is not None:
        return _make_feed(item.base, layer % item.base.length)
    return Feed(donor, (first.layer or 0) % max(depths[donor], 1)) if donor else None


def _make_layer(item: FlatItem, layer: int, index: int, feeds: tuple[Feed, ...], base: Feed | None) -> Node:
    settings = bind(item.settings, item.position + layer, item.count)
    scales = tuple(Bound(scale.parameter, scale.position + layer, scale.count) for scale in item.scales)
    node = Node(Part.LAYER, index, feeds, item.op, settings, base, scales, item=item.number, copy=item.copy)
    return replace(node, hop=1.0 if layer else item.hop, mark=item.mark, op_mark=item.op_mark)


def _make_feed(source: FlatSlice, layer: int) -> Feed:
    """The donor layer at index `layer` within a slice (from 0), with its scale factors and op parameters."""
    piece, position = source.written, source.position + layer
    scales = (Bound(piece.scale, position, source.count),) if piece.scale else ()
    return Feed(piece.donor, source.start + layer, scales, bind(piece.settings, position, source.count))


def _make_outside_feed(source: SliceSpec) -> Feed:
    """The Feed for a donor's embedding or head; a parameter that changes from layer to layer has its first value."""
    return Feed(source.donor, None, (Bound(source.scale, 0, 2),) if source.scale else (), bind(source.settings, 0, 2))
