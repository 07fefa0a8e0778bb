"""Items of a spec spread out into nodes: slices, blends, crossfades, repeats and named stacks become single layers.

It knows the donors' depths and nothing else of them. What cannot be resolved is reported, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stacker.arch.files.architecture import Part
from stacker.core.stack.blends import expand_blend, expand_crossfade
from stacker.core.stack.nodes import Expansion, Feed, Node, feeds_of
from stacker.core.values.parameters import Bound, bind
from stacker.errors import did_you_mean
from stacker.spec.language.stack_spec import BlendSpec, CrossfadeSpec, Item, RepeatSpec, SliceSpec, UseSpec

MOST_LAYERS = 10_000


def expand_items(items: tuple[Item, ...], expansion: Expansion) -> Iterator[Node]:
    """The nodes of a list of items, numbered from 0."""
    index = 0
    for number, item in enumerate(items):
        for node in expand_item(item, expansion):
            if index >= MOST_LAYERS:
                expansion.report(f"the stack has more than {MOST_LAYERS:,} layers", node.mark, "is a repeat too long?")
                return
            yield replace(node, index=index, item=number)
            index += 1


def expand_item(item: Item, expansion: Expansion) -> Iterator[Node]:
    """The nodes of one item, in order; their indices are for the caller to set."""
    match item:
        case SliceSpec():
            for feed in feeds_of(item, expansion):
                yield Node(Part.LAYER, 0, (feed,), mark=item.mark)
        case BlendSpec():
            yield from expand_blend(item, expansion)
        case CrossfadeSpec():
            yield from expand_crossfade(item, expansion)
        case RepeatSpec():
            yield from _expand_repeat(item, expansion)
        case UseSpec():
            yield from _expand_use(item, expansion)


def _expand_repeat(item: RepeatSpec, expansion: Expansion) -> Iterator[Node]:
    once = [node for inner in item.items for node in expand_item(inner, expansion)]
    for copy in range(item.times):
        for position, node in enumerate(once):
            scales = (Bound(item.scale, position, len(once)),) if item.scale and copy else ()
            yield replace(node, scales=node.scales + scales, copy=copy)


def _expand_use(item: UseSpec, expansion: Expansion) -> Iterator[Node]:
    named = expansion.stacks.get(item.name)
    if named is None:
        expansion.report(f"there is no stack '{item.name}'", item.mark, did_you_mean(item.name, expansion.stacks))
        return
    if item.name in expansion.open:
        expansion.report(f"stack '{item.name}' uses itself", item.mark, " -> ".join((*expansion.open, item.name)))
        return
    expansion.open += (item.name,)
    for inner in named.items:
        yield from expand_item(inner, expansion)
    expansion.open = expansion.open[:-1]


def expand_part(piece: SliceSpec | BlendSpec, part: Part, expansion: Expansion) -> Node:
    """The node of the embedding or of the head; an unknown donor is reported and the first one stands in."""
    sources = piece.sources if isinstance(piece, BlendSpec) else (piece,)
    feeds = tuple(_whole(source, expansion) for source in sources)
    if isinstance(piece, SliceSpec):
        return Node(part, 0, feeds, mark=piece.mark)
    base = None
    if expansion.takes_base(piece.op, piece.base):
        base = _whole(piece.base, expansion) if piece.base else _base_of_spec(expansion)
    return Node(part, 0, feeds, piece.op, bind(piece.settings, 0, 2), base, mark=piece.mark)


def _base_of_spec(expansion: Expansion) -> Feed | None:
    base = expansion.spec.base
    return Feed(str(base), None) if base in expansion.depths else None


def _whole(source: SliceSpec, expansion: Expansion) -> Feed:
    known = expansion.knows(source.donor, source.mark)
    donor = source.donor if known else next(iter(expansion.depths))
    scales = (Bound(source.scale, 0, 2),) if source.scale else ()
    return Feed(donor, None, scales, bind(source.settings, 0, 2))
