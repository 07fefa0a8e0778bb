"""Expands the crossfades, repeats and named stacks of a spec into a flat list of slices and blends.

This needs the donors' numbers of layers, but not their weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from stacker.errors import Mark, Problem
from stacker.spec.language.parameter_grammar import make_constant
from stacker.spec.language.slice_grammar import MOST_LAYERS
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    Item,
    Parameter,
    RepeatSpec,
    Setting,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)


@dataclass(frozen=True, slots=True)
class FlatSlice:
    """`length` layers of a donor from its layer `start` on: the whole slice `written`, or a part of it.

    The part begins at layer `position` of the `count` layers of `written`, and gradients run over all `count` layers.
    If `written` has no end and the donor's number of layers is unknown, `known` is False, and `length` and `count` are
    1.
    """

    written: SliceSpec
    start: int
    length: int
    position: int
    count: int
    known: bool = True

    def part(self, skip: int, length: int) -> FlatSlice:
        """The `length` layers of this slice that follow its first `skip` layers."""
        return replace(self, start=self.start + skip, position=self.position + skip, length=length)


@dataclass(frozen=True, slots=True)
class RepeatScale:
    """The factors `parameter` of a repeat, as they apply to one item inside the repeat.

    Gradients in `parameter` run over the `count` layers of one round, and the item begins at layer `position` of these.
    """

    parameter: Parameter
    position: int
    count: int
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FlatItem:
    """One slice (`op` is None), or a blend that takes the same number of layers from each source.

    Gradients in `settings` run over `count` layers, and the item begins at layer `position` of these. `hop` multiplies
    the residual stream that enters the item's first layer. `number` is the index in `StackSpec.stack` of the item that
    this one was expanded from, and `copy` is the round, from 0, of the outermost repeat around it.
    """

    sources: tuple[FlatSlice, ...]
    op: str | None
    position: int
    count: int
    settings: tuple[Setting, ...] = ()
    base: FlatSlice | None = None
    scales: tuple[RepeatScale, ...] = ()
    hop: float = 1.0
    number: int = 0
    copy: int = 0
    mark: Mark | None = field(default=None, compare=False, repr=False)
    op_mark: Mark | None = field(default=None, compare=False, repr=False)

    @property
    def length(self) -> int:
        """How many output layers this item makes."""
        return max(source.length for source in self.sources)


@dataclass(frozen=True, slots=True)
class _Unrolling:
    stacks: Mapping[str, tuple[Item, ...]]
    depths: Mapping[str, int]
    ramps: Mapping[str, str]
    problems: list[Problem]

    def report(self, message: str, mark: Mark | None, hint: str) -> None:
        self.problems.append(Problem(message, hint, mark))


def unroll(
    spec: StackSpec, depths: Mapping[str, int], ramps: Mapping[str, str], problems: list[Problem]
) -> Iterator[FlatItem]:
    """Yield the slices and blends that a checked spec expands to; what does not fit its donors is added to `problems`.

    `depths` maps donors to their number of layers if it is known, and `ramps` maps each op to the parameter that a
    crossfade varies: `t`, `weight`, or "" if there is none.
    """
    state = _Unrolling({named.name: named.items for named in spec.stacks}, depths, ramps, problems)
    try:
        yield from _limit_layers(
            replace(flat, number=number) for number, item in enumerate(spec.stack) for flat in _unroll_item(item, state)
        )
    except _TooManyLayersError as error:
        state.report(f"the stack has more than {MOST_LAYERS:,} layers", error.mark, "is a repeat too long?")


class _TooManyLayersError(Exception):
    """A stack or the content of a repeat has more than MOST_LAYERS layers; `mark` is where the first beyond is."""

    def __init__(self, mark: Mark | None) -> None:
        super().__init__(mark)
        self.mark = mark


def _limit_layers(items: Iterable[FlatItem]) -> Iterator[FlatItem]:
    """Yield the items; raises _TooManyLayersError as soon as they have more than MOST_LAYERS layers."""
    total = 0
    for item in items:
        total += item.length
        if total > MOST_LAYERS:
            raise _TooManyLayersError(item.mark)
        yield item


def _unroll_item(item: Item, state: _Unrolling) -> Iterator[FlatItem]:
    if isinstance(item, RepeatSpec):
        return _unroll_repeat(item, state)
    return _enter(item.hop, _unroll_content(item, state))


def _enter(hop: float, items: Iterable[FlatItem]) -> Iterator[FlatItem]:
    """Yield the items; the hop of the first one is multiplied by `hop`."""
    for number, item in enumerate(items):
        yield item if number else replace(item, hop=item.hop * hop)


def _unroll_content(item: SliceOrBlend | CrossfadeSpec | UseSpec, state: _Unrolling) -> Iterator[FlatItem]:
    match item:
        case SliceSpec():
            source = _resolve(item, state)
            if source is not None:
                yield _make_plain(source, item.mark)
        case BlendSpec():
            yield from _unroll_blend(item, state)
        case CrossfadeSpec():
            yield from _unroll_crossfade(item, state)
        case UseSpec(name):
            for inner in state.stacks[name]:
                yield from _unroll_item(inner, state)


def _make_plain(source: FlatSlice, mark: Mark | None) -> FlatItem:
    return FlatItem((source,), None, 0, source.length, mark=mark)


def _resolve(piece: SliceSpec, state: _Unrolling) -> FlatSlice | None:
    """The slice with a missing start set to 0 and a missing end set to its donor's number of layers.

    If the slice ends past its donor's last layer, a problem is reported and the result is None.
    """
    depth = state.depths.get(piece.donor)
    start, stop = piece.start or 0, depth if piece.stop is None else piece.stop
    if depth is not None and stop is not None and (stop > depth or start >= depth):
        shown = f"{piece.donor}[{start}:{stop}]"
        hint = f"ranges are half-open; the last valid end is {depth}"
        state.report(f"slice {shown} ends past donor '{piece.donor}', which has {depth} layers", piece.mark, hint)
        return None
    length = 1 if stop is None else stop - start
    return FlatSlice(piece, start, length, 0, length, known=stop is not None)


def _resolve_all(pieces: tuple[SliceSpec, ...], state: _Unrolling) -> tuple[FlatSlice, ...]:
    """All slices with their missing bounds filled in; empty if any slice does not fit its donor."""
    sources = [_resolve(piece, state) for piece in pieces]
    fitting = tuple(source for source in sources if source is not None)
    return fitting if len(fitting) == len(sources) else ()


def _unroll_blend(item: BlendSpec, state: _Unrolling) -> Iterator[FlatItem]:
    sources = _resolve_all(item.sources, state)
    if len({source.length for source in sources if source.known}) > 1:
        counts = ", ".join(f"{source.written.donor}: {source.length}" for source in sources)
        hint = "a blend takes the same number of layers from each source"
        state.report(f"the sources of a blend have different lengths ({counts})", item.mark, hint)
    elif sources:
        base = _resolve(item.base, state) if item.base else None
        count = max(source.length for source in sources)
        yield FlatItem(sources, item.op, 0, count, item.settings, base, mark=item.mark, op_mark=item.op_mark)


def _unroll_crossfade(item: CrossfadeSpec, state: _Unrolling) -> Iterator[FlatItem]:
    """Yield a slice for each run of layers outside the overlaps, and a blend for each overlapping layer."""
    sources = _resolve_all(item.sources, state)
    if not sources or not _fits_overlaps(item, sources, state):
        return
    base = _resolve(item.base, state) if item.base else None
    skip = 0
    for left, right in pairwise(sources):
        yield from _keep_between(left, skip, item.over, item.mark)
        before = left.part(left.length - item.over, item.over)
        yield from (_blend_overlap(item, before, right, base, position, state) for position in range(item.over))
        skip = item.over
    yield from _keep_between(sources[-1], skip, 0, item.mark)


def _fits_overlaps(item: CrossfadeSpec, sources: tuple[FlatSlice, ...], state: _Unrolling) -> bool:
    """Whether every slice is long enough for the overlaps at its ends.

    If not, or if the length of a slice is unknown, a problem is reported.
    """
    if not all(source.known for source in sources):
        hint = "write where each slice ends, with the donor's number of layers"
        state.report("mergekit has no crossfade, and where it begins and ends is not known", item.mark, hint)
        return False
    for number, source in enumerate(sources):
        needed = item.over * (1 if number in (0, len(sources) - 1) else 2)
        if source.length < needed:
            piece = source.written
            message = f"{piece.donor} gives {source.length} layers, but fading over {item.over} takes {needed}"
            state.report(message, piece.mark or item.mark, "make the slice longer or `over` smaller")
            return False
    return True


def _keep_between(source: FlatSlice, skip: int, leave: int, mark: Mark | None) -> Iterator[FlatItem]:
    """Yield a slice without its first `skip` and last `leave` layers, as one item; nothing if no layers remain."""
    length = source.length - skip - leave
    if length:
        yield _make_plain(source.part(skip, length), mark)


def _blend_overlap(
    item: CrossfadeSpec, left: FlatSlice, right: FlatSlice, base: FlatSlice | None, position: int, state: _Unrolling
) -> FlatItem:
    """The blend for layer `position` of an overlap, in which `left` fades into `right`.

    `right` gets the share (position + 1) / (over + 1) as the op's `t` or as its weight, unless the spec sets that
    parameter.
    """
    share = (position + 1) / (item.over + 1)
    settings, sources = item.settings, (left.part(position, 1), right.part(position, 1))
    ramp = state.ramps.get(item.op, "")
    if ramp and ramp not in {setting.name for setting in settings}:
        if ramp == "weight":
            sources = (_add_weight(sources[0], 1.0 - share), _add_weight(sources[1], share))
        else:
            settings = (*settings, Setting(ramp, make_constant(share)))
    base = base.part(position % base.length, 1) if base else None
    return FlatItem(sources, item.op, position, item.over, settings, base, mark=item.mark, op_mark=item.op_mark)


def _add_weight(source: FlatSlice, weight: float) -> FlatSlice:
    settings = (*source.written.settings, Setting("weight", make_constant(weight)))
    return replace(source, written=replace(source.written, settings=settings))


def _unroll_repeat(item: RepeatSpec, state: _Unrolling) -> Iterator[FlatItem]:
    content = (flat for inner in item.items for flat in _unroll_item(inner, state))
    once = [*_enter(item.hop, _limit_layers(content))]
    count = sum(flat.length for flat in once)
    for copy in range(item.times if once else 0):
        position = 0
        for flat in once:
            scales = (RepeatScale(item.scale, position, count, item.mark),) if item.scale and copy else ()
            yield replace(flat, copy=copy, scales=flat.scales + scales)
            position += flat.length
