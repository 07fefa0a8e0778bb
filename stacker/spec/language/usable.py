"""Finds the parts of a spec with errors that can still be checked against the donors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from stacker.errors import Mark, Problem
from stacker.spec.language.checks import check_lengths, check_nesting, list_slices, walk_spec
from stacker.spec.language.stack_spec import Item, NamedStack, RepeatSpec, SliceOrBlend, StackSpec, UseSpec


def keep_usable(spec: StackSpec, donors: Collection[str]) -> StackSpec:
    """The spec without items that refer to undefined stacks or to donors not in `donors`, or whose lengths do not fit.

    Its stack may be empty. The donors that are left are those in `donors`.
    """
    if any(check_nesting(spec)):
        return replace(spec, stack=())
    stacks = {named.name for named in spec.stacks}

    def keep(items: Collection[Item]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, RepeatSpec):
                inner = tuple(keep(item.items))
                yield from (replace(item, items=inner),) if inner else ()
            elif item.name in stacks if isinstance(item, UseSpec) else fits(item):
                yield item

    def fits(item: Item) -> bool:
        return all(piece.donor in donors for piece in list_slices(item)) and not any(check_lengths(item))

    def keep_part(part: SliceOrBlend | None) -> SliceOrBlend | None:
        return part if part and fits(part) else None

    named = (spec.base, spec.towers, spec.tokenizer, spec.config)
    base, towers, tokenizer, config = (name if name in donors else None for name in named)
    return replace(
        spec,
        donors=tuple(donor for donor in spec.donors if donor.name in donors),
        stack=tuple(keep(spec.stack)),
        stacks=tuple(NamedStack(each.name, tuple(keep(each.items)), each.mark) for each in spec.stacks),
        embed=keep_part(spec.embed), head=keep_part(spec.head),
        base=base, towers=towers, tokenizer=tokenizer, config=config,
    )  # fmt: skip


def find_doubtful(spec: StackSpec, usable: StackSpec, problems: Collection[Problem]) -> frozenset[Mark]:
    """The marks of the items that have lost a part: their text has one of the problems, or the spec's base is lost."""
    parts = (part for part in (spec.embed, spec.head) if part)
    marks = sorted({item.mark for item in (*walk_spec(spec), *parts) if item.mark}, key=_place)
    found = set(marks if usable.base != spec.base else ())
    for problem in problems:
        before = [mark for mark in marks if problem.mark and _place(mark) <= _place(problem.mark)]
        found |= {*before[-1:]}
    return frozenset(found)


def _place(mark: Mark) -> tuple[int, int]:
    return (mark.line or 0, mark.column or 0)
