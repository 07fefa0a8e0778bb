"""Checks a spec without its donors: undefined names, lengths that do not fit, and too many layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain

from stacker.errors import Mark, Problem, Severity, did_you_mean
from stacker.spec.language.slice_grammar import MOST_LAYERS, count_written_layers, format_slice
from stacker.spec.language.stack_spec import (
    BlendSpec,
    CrossfadeSpec,
    Item,
    RepeatSpec,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)
from stacker.text.node import shorten

Named = tuple[str, Mark | None]
MOST_STACKS = 100


def check_spec(spec: StackSpec) -> Iterator[Problem]:
    """Yield problems for undefined names, lengths that do not fit and too many layers.

    Donors and named stacks that are never used cause warnings.
    """
    yield from _check_names(spec)
    cycles = tuple(check_nesting(spec))
    yield from cycles
    for item in walk_spec(spec):
        yield from check_lengths(item)
    if not cycles:
        yield from _check_size(spec)


def walk_spec(spec: StackSpec) -> Iterator[Item]:
    """All items of the stack, then of the named stacks, in the order of the text; items inside repeats are included."""
    return chain(walk_items(spec.stack), *(walk_items(named.items) for named in spec.stacks))


def walk_items(items: Iterable[Item]) -> Iterator[Item]:
    """Yield all items in order, and after each repeat the items inside the repeat."""
    for item in items:
        yield item
        if isinstance(item, RepeatSpec):
            yield from walk_items(item.items)


def list_slices(item: Item | SliceOrBlend) -> tuple[SliceSpec, ...]:
    """The slices written directly in an item, with the base of a blend or crossfade at the end.

    The tuple is empty for a repeat or a use.
    """
    match item:
        case SliceSpec():
            return (item,)
        case BlendSpec() | CrossfadeSpec():
            return (*item.sources, *((item.base,) if item.base else ()))
        case _:
            return ()


def _check_names(spec: StackSpec) -> Iterator[Problem]:
    donors = {donor.name: donor.mark for donor in spec.donors}
    stacks = {named.name: named.mark for named in spec.stacks}
    if donors:
        yield from _check_references("donor", list(_list_donor_names(spec)), donors)
    yield from _check_references("stack", list(_list_stack_names(spec)), stacks)


def _check_references(kind: str, used: list[Named], defined: dict[str, Mark | None]) -> Iterator[Problem]:
    """Yield a problem for each undefined name, at its first use, and a warning for each name that is never used.

    `used` and `defined` have names and their places in the text, and `kind` is `donor` or `stack`, the word in
    messages.
    """
    first = dict(reversed(used))
    counts = Counter(name for name, _ in used)
    for name in dict.fromkeys(name for name, _ in used if name not in defined):
        more = f" (used {counts[name]} times)" if counts[name] > 1 else ""
        hint = did_you_mean(name, defined) if defined else f"define it under '{kind}s'"
        yield Problem(f"no {kind} is called '{shorten(name)}'{more}", hint, first[name])
    for name, mark in defined.items():
        if name not in counts:
            yield Problem(f"{kind} '{shorten(name)}' is never used", "", mark, Severity.WARNING)


def _list_donor_names(spec: StackSpec) -> Iterator[Named]:
    parts = tuple(part for part in (spec.embed, spec.head) if part is not None)
    for piece in chain.from_iterable(list_slices(item) for item in chain(walk_spec(spec), parts)):
        yield piece.donor, piece.mark
    for key, name in (
        ("base", spec.base), ("towers", spec.towers), ("tokenizer", spec.tokenizer), ("config", spec.config),
    ):  # fmt: skip
        if name is not None:
            yield name, spec.mark_of(key)
    for row in spec.vocabulary.tokens if spec.vocabulary else ():
        if row.donor is not None:
            yield row.donor, row.mark


def _list_stack_names(spec: StackSpec) -> Iterator[Named]:
    return ((item.name, item.mark) for item in walk_spec(spec) if isinstance(item, UseSpec))


def check_nesting(spec: StackSpec) -> Iterator[Problem]:
    """Yield a problem for each cycle of named stacks that use each other.

    If there are too many named stacks to search for cycles, that is the only problem.
    """
    if len(spec.stacks) > MOST_STACKS:
        yield Problem(f"{len(spec.stacks)} named stacks; at most {MOST_STACKS} are allowed", "", spec.mark_of("stacks"))
        return
    uses = {
        named.name: {item.name: item.mark for item in reversed([*walk_items(named.items)]) if isinstance(item, UseSpec)}
        for named in spec.stacks
    }
    while circle := _find_circle(uses):
        mark = uses[circle[-2]].pop(circle[-1])
        yield Problem(f"stack '{shorten(circle[0])}' contains itself: {shorten(' -> '.join(circle))}", "", mark)


def _find_circle(uses: Mapping[str, Iterable[str]]) -> list[str]:
    """The names along one cycle in `uses`, which maps each name to the names that it uses; empty if there is no cycle.

    Each name in the list uses the next one, and the first name is repeated at the end.
    """
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def check_lengths(item: Item) -> Iterator[Problem]:
    """Yield a problem if slices of a blend, or overlaps of a crossfade, differ in their number of layers."""
    if isinstance(item, BlendSpec):
        yield from _check_blend(item)
    elif isinstance(item, CrossfadeSpec):
        yield from _check_crossfade(item)


def _check_blend(blend: BlendSpec) -> Iterator[Problem]:
    lengths = {
        format_slice(piece): length for piece in blend.sources if (length := count_written_layers(piece)) is not None
    }
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{shown} has {length}" for shown, length in lengths.items())
        yield Problem("the slices of a blend must have the same number of layers", counts, blend.mark)
        return
    count = next(iter(lengths.values()), None)
    base = blend.base and count_written_layers(blend.base)
    if blend.base and base is not None and count is not None and base != count:
        start = blend.sources[0].start or 0
        hint = f"{blend.base.donor}[{start}:{start + count}] as the base of this blend has as many layers"
        yield Problem(f"the base has {base} layers, the blend {count}", hint, blend.base.mark or blend.mark)


def _check_crossfade(fade: CrossfadeSpec) -> Iterator[Problem]:
    for at, piece in enumerate(fade.sources):
        length = count_written_layers(piece)
        inner = 0 < at < len(fade.sources) - 1
        needed = fade.over * (2 if inner else 1)
        if length is not None and length < needed:
            both = f"{fade.over} at each end" if inner else f"{fade.over}"
            message = f"{format_slice(piece)} has {length} layer{'s' * (length != 1)}, but {both} overlap"
            yield Problem(
                message, f"write over: {length // (2 if inner else 1)} or less, or a longer slice", piece.mark
            )


def _check_size(spec: StackSpec) -> Iterator[Problem]:
    """Yield a problem if the stack has more layers than any model could have, likely a mistake in `repeat` or `use`."""
    named = {stack.name: stack.items for stack in spec.stacks}
    known: dict[str, int] = {}

    def count(item: Item) -> int:
        match item:
            case SliceSpec():
                return count_written_layers(item) or 1
            case BlendSpec():
                return max((count(source) for source in item.sources), default=0)
            case CrossfadeSpec():
                return sum(map(count, item.sources)) - item.over * (len(item.sources) - 1)
            case RepeatSpec():
                return item.times * sum(map(count, item.items))
            case UseSpec():
                if item.name not in known:
                    known[item.name] = sum(map(count, named.get(item.name, ())))
                return known[item.name]

    total = sum(map(count, spec.stack))
    if total > MOST_LAYERS:
        hint = "check 'times', and the stacks that 'use' refers to"
        yield Problem(
            f"the stack has {total:,} layers or more; at most {MOST_LAYERS:,} are allowed", hint, spec.mark_of("stack")
        )
