"""Finds what expressions contain: the donor tensors that have to be read, blends, and zeros that need no donor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stacker.core.values.expression import Blend, Cast, Columns, Concat, Copy, Expression, Rescale, Scale
from stacker.tensors import TensorRef


def is_zero(expression: Expression) -> bool:
    """Whether every element is 0 regardless of the donors' values, so that no donor has to be read."""
    if isinstance(expression, Scale) and expression.offset:
        return False
    if isinstance(expression, Scale) and expression.factor == 0:
        return True
    return isinstance(expression, Cast | Scale | Concat) and all(map(is_zero, expression.children()))


def find_tensor_refs(expression: Expression) -> Iterator[TensorRef]:
    """Yield the donor tensors that an expression mentions, from left to right; repeated mentions are yielded again."""
    if isinstance(expression, Copy | Columns):
        yield expression.tensor
    for child in expression.children():
        yield from find_tensor_refs(child)


def find_needed_leaves(expression: Expression) -> Iterator[Copy | Columns]:
    """The Copy and Columns expressions that have to be read: all except those that are multiplied by 0."""
    if isinstance(expression, Copy | Columns):
        yield expression
    if not is_zero(expression):
        for child in expression.children():
            yield from find_needed_leaves(child)


def find_needed_tensors(expression: Expression) -> Iterator[TensorRef]:
    """Yield the donor tensors that have to be read, which are all except those multiplied by 0; tensors may repeat."""
    return (leaf.tensor for leaf in find_needed_leaves(expression))


def find_blends(expression: Expression) -> Iterator[Blend]:
    """The blends that have to be computed, inner blends before the blends that use them."""
    if not is_zero(expression):
        for child in expression.children():
            yield from find_blends(child)
        if isinstance(expression, Blend):
            yield expression


def find_rescales(expression: Expression) -> Iterator[Rescale]:
    """The Rescale expressions that have to be computed, inner ones first."""
    if not is_zero(expression):
        for child in expression.children():
            yield from find_rescales(child)
        if isinstance(expression, Rescale):
            yield expression


def rename_donors(expression: Expression, prefix: str) -> Expression:
    """A copy of an expression in which every donor `name` is called `prefix/name`."""
    if isinstance(expression, Copy | Columns):
        tensor = expression.tensor
        return replace(expression, tensor=TensorRef(f"{prefix}/{tensor.donor}", tensor.name))
    return expression.rebuild([rename_donors(child, prefix) for child in expression.children()])
