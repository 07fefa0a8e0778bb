"""Every output tensor of a stack and the expression that makes it, in model order; where it lies is for `layout`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import cut_axis, table_name
from stacker.core.stack.graph import Naming, StackGraph, Table, walk_tables
from stacker.core.stack.nodes import Feed, Node
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale, side_by_side
from stacker.core.values.parameters import factor_at, values_at
from stacker.ops.shared.settings import complete, role_defaults
from stacker.ops.table import OPS
from stacker.tensors import Dtype, TensorRef, TensorSpec


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """An output tensor before it has a place: what it is, what it does, and how it is made.

    `table` is the name of the tensor that it is a part of, along dimension `axis`; "" where it is a whole one.
    """

    tensor: TensorSpec
    role: str
    expression: Expression
    table: str = ""
    axis: int = 0


@dataclass(frozen=True, slots=True)
class PlannedTensors:
    """All output tensors, and the pairs of which the first is absent because it shares the second's values."""

    tensors: tuple[PlannedTensor, ...]
    tied: tuple[tuple[str, str], ...] = ()


def make_tensors(graph: StackGraph, donors: Mapping[str, Donor], dtype: Dtype | None) -> PlannedTensors:
    """The tensors of the whole stack; `dtype` other than None casts every float tensor to it.

    Where the sources of a node do not have the same tensors, those that all of them have are made; `checks` tells.
    """
    embed, *layers, head = [[*_node_tensors(*each)] for each in walk_tables(graph, donors)]
    tied = _tied(graph, donors, embed, head)
    ends = [making for making in head if making.tensor.name not in dict(tied)]
    parts: list[PlannedTensor] = []
    whole: list[PlannedTensor] = []
    for making in chain.from_iterable(layers):
        (parts if making.table else whole).append(making)
    tables = tables_of([_cast(making, dtype) for making in parts])
    return PlannedTensors(
        (*(_cast(making, dtype) for making in embed), *tables, *(_cast(m, dtype) for m in (*whole, *ends))), tied
    )


def tables_of(parts: Sequence[PlannedTensor]) -> Iterator[PlannedTensor]:
    """The tables outside the layers, each the layers' parts of it in the order of the layers."""
    for name in dict.fromkeys(part.table for part in parts):
        own = [part for part in parts if part.table == name]
        first, axis = own[0].tensor, own[0].axis
        sizes = [part.tensor.shape[axis] for part in own]
        shape = (*first.shape[:axis], sum(sizes), *first.shape[axis + 1 :])
        widths = [prod(part.tensor.shape[axis:]) for part in own]
        tables = [_cast(part, first.dtype).expression for part in own]
        expression = side_by_side(list(zip(tables, widths, strict=True)))
        yield PlannedTensor(TensorSpec(name, first.dtype, shape), own[0].role, expression)


def _tied(
    graph: StackGraph, donors: Mapping[str, Donor], embed: Sequence[PlannedTensor], head: Sequence[PlannedTensor]
) -> tuple[tuple[str, str], ...]:
    """Pairs of head and embedding that need not be written twice: tied in the head's donors, and here made alike."""
    made = {making.tensor.name: making.expression for making in embed}
    partners = dict(pair for feed in graph.head.feeds for pair in donors[feed.donor].tied())
    return tuple(
        (making.tensor.name, partners[making.tensor.name])
        for making in head
        if making.tensor.name in partners
        and _unseeded(made.get(partners[making.tensor.name])) == _unseeded(making.expression)
    )


def _unseeded(expression: Expression | None) -> Expression | None:
    return replace(expression, seed="") if isinstance(expression, Blend) else expression


def _node_tensors(node: Node, named: Naming, tables: Sequence[Table]) -> Iterator[PlannedTensor]:
    """The tensors of one node from the tables of what it reads (the base's last), `named` by their keys."""
    sources = tables[: len(node.feeds)]
    bases = tables[len(node.feeds) :]
    for key, first in sources[0].items():
        tensors = [table[key] for table in sources if key in table]
        if len(tensors) == len(sources):
            yield _make(node, named(key), first, tensors, next((table.get(key) for table in bases), None))


def _make(
    node: Node, name: str, first: DonorTensor, tensors: list[DonorTensor], base: DonorTensor | None
) -> PlannedTensor:
    role = "head" if node.part is Part.HEAD and first.part is Part.EMBED else first.role
    feeds = [
        _scaled(_source(feed, tensor), factor_at(feed.scales, role, name))
        for feed, tensor in zip(node.feeds, tensors, strict=True)
    ]
    # What is no number to compute with (a mask, a counter) is the first source's.
    if node.op is None or not first.spec.dtype.arithmetic:
        made = feeds[0]
    else:
        made = _blend(node, name, role, feeds, _source(node.base, base) if node.base and base else None)
    expression = _scaled(made, factor_at(node.scales, role, name))
    axis = cut_axis(first.suffix)
    table = "" if axis is None else table_name(first.suffix)
    return PlannedTensor(TensorSpec(name, first.spec.dtype, first.spec.shape), role, expression, table, axis or 0)


def _source(feed: Feed, tensor: DonorTensor) -> Expression:
    return tensor.expression or Copy(TensorRef(feed.donor, tensor.spec.name))


def _scaled(expression: Expression, factor: float) -> Expression:
    return expression if factor == 1.0 else Scale(expression, factor)


def _blend(node: Node, name: str, role: str, feeds: list[Expression], base: Expression | None) -> Expression:
    """The blend with every parameter spelt out: the nearest written value, or else the op's default."""
    op = OPS[str(node.op)]
    own = role_defaults(op, role) | values_at(node.settings, role, name)
    shared, each = complete(op, own, [values_at(feed.settings, role, name) for feed in node.feeds])
    apart = {parameter.name for parameter in op.parameters if parameter.per_source}
    kept = tuple(sorted(item for item in shared.items() if item[0] not in apart))
    return Blend(op.name, tuple(feeds), kept, tuple(tuple(sorted(values.items())) for values in each), base, seed=name)


def _cast(making: PlannedTensor, dtype: Dtype | None) -> PlannedTensor:
    tensor = making.tensor
    if dtype is None or tensor.dtype is dtype or not tensor.dtype.arithmetic:
        return making
    spec = TensorSpec(tensor.name, dtype, tensor.shape)
    return replace(making, tensor=spec, expression=Cast(making.expression, dtype))
