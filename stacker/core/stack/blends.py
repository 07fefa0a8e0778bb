"""Blends and crossfades spread out: which layers meet, with which parameters, over which base layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice, pairwise

from stacker.arch.files.architecture import Part
from stacker.core.stack.nodes import Expansion, Feed, Node, feeds_of
from stacker.core.values.parameters import bind
from stacker.spec.language.stack_spec import BlendSpec, CrossfadeSpec, Gradient, Parameter, Rule, Setting


def expand_blend(item: BlendSpec, expansion: Expansion) -> Iterator[Node]:
    columns = [feeds_of(source, expansion) for source in item.sources]
    lengths = [len(column) for column in columns]
    if 0 in lengths:
        return
    if len(set(lengths)) > 1:
        counts = ", ".join(f"{source.donor}: {length}" for source, length in zip(item.sources, lengths, strict=True))
        hint = "a blend takes the same number of layers from each source"
        expansion.report(f"the sources of a blend have different lengths ({counts})", item.mark, hint)
        return
    bases = _base_feeds(item, expansion, lengths[0], columns[0])
    for position, feeds in enumerate(zip(*columns, strict=True)):
        settings = bind(item.settings, position, lengths[0])
        yield Node(Part.LAYER, 0, feeds, item.op, settings, bases[position], mark=item.mark)


def _base_feeds(
    item: BlendSpec | CrossfadeSpec, expansion: Expansion, count: int, beside: tuple[Feed, ...]
) -> tuple[Feed | None, ...]:
    """The reference layer at each position: the item's own base, or the spec's base donor at the first source's."""
    if not expansion.takes_base(item.op, item.base):
        return (None,) * count
    if item.base is not None:
        feeds = feeds_of(item.base, expansion)
        if len(feeds) == count:
            return feeds
        if not feeds:
            return (None,) * count
        expansion.report(f"the base has {len(feeds)} layers, the blend {count}", item.base.mark or item.mark)
        return tuple(islice(cycle(feeds), count))  # so that nobody misses a base who has one
    base = expansion.spec.base
    if base is None or not expansion.knows(base, expansion.spec.mark_of("base")):
        return (None,) * count
    depth = expansion.depths[base]
    return tuple(Feed(base, feed.layer) if (feed.layer or 0) < depth else None for feed in beside)


def expand_crossfade(item: CrossfadeSpec, expansion: Expansion) -> Iterator[Node]:
    columns = [feeds_of(source, expansion) for source in item.sources]
    if not all(columns):
        return
    for source, column, ends in zip(item.sources, columns, _faded_ends(len(columns)), strict=True):
        if len(column) < item.over * ends:
            message = f"{source.donor} gives {len(column)} layers, but fading over {item.over} takes {item.over * ends}"
            expansion.report(message, source.mark or item.mark, "make the slice longer or `over` smaller")
            return
    yield from (Node(Part.LAYER, 0, (feed,), mark=item.mark) for feed in columns[0][: len(columns[0]) - item.over])
    for number, (left, right) in enumerate(pairwise(columns), start=2):
        yield from _fade(item, left[len(left) - item.over :], right[: item.over], expansion)
        stop = len(right) - (item.over if number < len(columns) else 0)
        yield from (Node(Part.LAYER, 0, (feed,), mark=item.mark) for feed in right[item.over : stop])


def _faded_ends(count: int) -> list[int]:
    """How many ends of each slice are faded: one of the first and the last, two of those between."""
    return [1 if number in (0, count - 1) else 2 for number in range(count)]


def _fade(item: CrossfadeSpec, left: tuple[Feed, ...], right: tuple[Feed, ...], expansion: Expansion) -> Iterator[Node]:
    bases = _base_feeds(item, expansion, item.over, left)
    written = {setting.name for setting in item.settings}
    ramp = expansion.ops[item.op].ramp if item.op in expansion.ops else ""
    for position, pair in enumerate(zip(left, right, strict=True)):
        settings = bind(item.settings, position, item.over)
        fade = (position + 1) / (item.over + 1)
        feeds: tuple[Feed, ...] = pair
        if ramp == "t" and "t" not in written:
            settings += bind((_constant("t", fade),), 0, 1)
        elif ramp == "weight" and "weight" not in written:
            weights = (1.0 - fade, fade)
            feeds = tuple(_weighted(feed, weight) for feed, weight in zip(pair, weights, strict=True))
        yield Node(Part.LAYER, 0, feeds, item.op, settings, bases[position], mark=item.mark)


def _weighted(feed: Feed, weight: float) -> Feed:
    return replace(feed, settings=feed.settings + bind((_constant("weight", weight),), 0, 1))


def _constant(name: str, value: float) -> Setting:
    return Setting(name, Parameter((Rule("*", Gradient((value,))),)))
