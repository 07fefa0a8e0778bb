"""Takes columns of matrices, and joins matrices side by side, as expressions over donor tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stacker.core.values.expression import Cast, Columns, Concat, Copy, Expression, Scale


def take_columns(expression: Expression, width: int, start: int, count: int) -> Expression:
    """An expression for columns [start, start + count) of `expression`, a matrix with rows of `width` elements.

    Raises ValueError if the columns cannot be separated from the rest, as in a blend.
    """
    if isinstance(expression, Copy):
        return Columns(expression.tensor, width, start, count)
    if isinstance(expression, Columns):
        return replace(expression, start=expression.start + start, count=count)
    if isinstance(expression, Cast | Scale):
        return expression.rebuild([take_columns(expression.of, width, start, count)])
    if isinstance(expression, Concat):
        for begin, size, part in expression.parts():
            if (begin, size) == (start, count):
                return part
            if begin <= start and start + count <= begin + size:
                return take_columns(part, size, start - begin, count)
    raise ValueError(f"the columns of one layer cannot be separated in {expression}")


def concatenate(parts: Sequence[tuple[Expression, int]]) -> Expression:
    """Join matrices side by side, each given as (expression, width); merge adjacent columns of one donor tensor."""
    joined: list[tuple[Expression, int]] = []
    for part, width in parts:
        last = joined[-1][0] if joined else None
        if isinstance(last, Columns) and isinstance(part, Columns) and _are_adjacent(last, part):
            joined[-1] = replace(last, count=last.count + part.count), joined[-1][1] + width
        else:
            joined.append((part, width))
    if len(joined) == 1 and isinstance(joined[0][0], Columns) and joined[0][0].count == joined[0][0].width:
        return Copy(joined[0][0].tensor)
    return Concat(tuple(part for part, _ in joined), tuple(width for _, width in joined))


def _are_adjacent(left: Columns, right: Columns) -> bool:
    same = (left.tensor, left.width) == (right.tensor, right.width)
    return same and left.start + left.count == right.start
