"""Makes the list of a stack's output tensors in model order, each with the expression that computes it.

The module `layout` then assigns the tensors to shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import prod

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import find_split_axis, find_table_name
from stacker.core.stack.ends import find_ties
from stacker.core.stack.graph import Naming, StackGraph, Table, walk_tables
from stacker.core.stack.hops import UNCHANGED, Factor, find_hop_factors
from stacker.core.stack.nodes import Feed, Node
from stacker.core.values.columns import concatenate
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Blend, Cast, Copy, Expression, Scale
from stacker.core.values.parameters import find_factor, find_values
from stacker.ops.shared.settings import fill_defaults, find_role_defaults
from stacker.ops.table import OPS
from stacker.tensors import Dtype, TensorRef, TensorSpec


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """An output tensor that has not been assigned to a shard yet, with its role and how it is computed.

    If `table` is not "", the tensor is only one layer's part of a larger output tensor called `table`, which joins the
    parts of all layers along dimension `axis` (as in Gemma 3n's per-layer embedding).
    """

    tensor: TensorSpec
    role: str
    expression: Expression
    table: str = ""
    axis: int = 0


IsCast = Callable[[PlannedTensor, Dtype], bool]
"""Whether a tensor is cast to the element type that the spec asks for."""


def cast_all(planned: PlannedTensor, dtype: Dtype) -> bool:
    """Cast every tensor."""
    del planned, dtype
    return True


_KEPT_ROLES = (
    "norm", "router", "ssm.conv", "ssm.state", "ssm.norm", "attn.sink", "embed.position", "embed.other", "other",
)  # fmt: skip


def cast_matrices(planned: PlannedTensor, dtype: Dtype) -> bool:
    """Cast the matrices that llama.cpp quantises too: vectors, norms and routers stay as they are in GGUF files."""
    kept = any(planned.role == role or planned.role.startswith(f"{role}.") for role in _KEPT_ROLES)
    named = planned.role.endswith("_norm") or planned.role.endswith(".norm") or planned.role.endswith(".bias")
    return len(planned.tensor.shape) > 1 and planned.tensor.row % dtype.block == 0 and not kept and not named


@dataclass(frozen=True, slots=True)
class PlannedTensors:
    """All output tensors in model order.

    `tied` has pairs of tensor names: the first tensor is not written because it has the same values as the second.
    """

    tensors: tuple[PlannedTensor, ...]
    tied: tuple[tuple[str, str], ...] = ()


def plan_tensors(
    graph: StackGraph, donors: Mapping[str, Donor], dtype: Dtype | None, is_cast: IsCast = cast_all
) -> PlannedTensors:
    """Plan the tensors of the whole stack; float tensors for which `is_cast` is true are cast to `dtype`.

    No tensor is cast if `dtype` is None.

    If the sources of a blend have different tensors, only tensors that all sources have are planned; `core.checks`
    reports the differences.
    """
    embed, *layers, head = [
        [*_plan_node(node, named, tables, find_hop_factors(node, donors, tables[0]))]
        for node, named, tables in walk_tables(graph, donors)
    ]
    tied = _find_tied(graph, donors, embed, head)
    ends = [planned for planned in head if planned.tensor.name not in dict(tied)]
    inside = [*chain.from_iterable(layers)]
    cast = partial(_cast, dtype=dtype, is_cast=is_cast)
    tables = join_tables([cast(planned) for planned in inside if planned.table])
    whole = (cast(planned) for planned in (*(each for each in inside if not each.table), *ends))
    return PlannedTensors((*(cast(planned) for planned in embed), *tables, *whole), tied)


def join_tables(parts: Sequence[PlannedTensor]) -> Iterator[PlannedTensor]:
    """Join the parts of single layers: yield one tensor for each value of `PlannedTensor.table` among `parts`."""
    for name in dict.fromkeys(part.table for part in parts):
        own = [part for part in parts if part.table == name]
        first, axis = own[0].tensor, own[0].axis
        sizes = [part.tensor.shape[axis] for part in own]
        shape = (*first.shape[:axis], sum(sizes), *first.shape[axis + 1 :])
        widths = [prod(part.tensor.shape[axis:]) for part in own]
        columns = [_cast(part, first.dtype, cast_all).expression for part in own]
        expression = concatenate(list(zip(columns, widths, strict=True)))
        yield PlannedTensor(TensorSpec(name, first.dtype, shape), own[0].role, expression)


def _find_tied(
    graph: StackGraph, donors: Mapping[str, Donor], embed: Sequence[PlannedTensor], head: Sequence[PlannedTensor]
) -> tuple[tuple[str, str], ...]:
    """Pairs (head tensor, the tensor that it equals); the head tensors need not be written.

    They are the tensors that a donor of the head ties. There are none unless this stack makes both tensors of every
    pair in the same way, because programs tie all or none.
    """
    expressions = {planned.tensor.name: planned.expression for planned in (*embed, *head)}
    template = donors[graph.template]
    partners = dict(pair for feed in graph.head.feeds for pair in find_ties(donors[feed.donor], template).items())
    tied = tuple(
        (planned.tensor.name, partners[planned.tensor.name]) for planned in head if planned.tensor.name in partners
    )
    same = all(_without_seed(expressions.get(other)) == _without_seed(expressions[one]) for one, other in tied)
    return tied if same else ()


def _without_seed(expression: Expression | None) -> Expression | None:
    return replace(expression, seed="") if isinstance(expression, Blend) else expression


def _plan_node(
    node: Node, name_tensor: Naming, tables: Sequence[Table], hops: Mapping[str, Factor]
) -> Iterator[PlannedTensor]:
    """Yield the tensors of one node.

    `tables` holds one table of donor tensors for each feed of the node (a donor layer that it is made from), then one
    for its base if it has one; a tensor has the same key in every table, and in `hops` if a hop multiplies it.
    """
    sources = tables[: len(node.feeds)]
    bases = tables[len(node.feeds) :]
    for key, first in sources[0].items():
        tensors = [table[key] for table in sources if key in table]
        if len(tensors) == len(sources):
            base = next((table.get(key) for table in bases), None)
            planned = _plan_tensor(node, name_tensor(key), first, tensors, base)
            yield replace(planned, expression=_fold(planned.expression, *hops.get(key, UNCHANGED)))


def _plan_tensor(
    node: Node, name: str, first: DonorTensor, tensors: list[DonorTensor], base: DonorTensor | None
) -> PlannedTensor:
    role = "head" if node.part is Part.HEAD and first.part is Part.EMBED else first.role
    sources = [
        _scale(_read(feed, tensor), find_factor(feed.scales, role, name))
        for feed, tensor in zip(node.feeds, tensors, strict=True)
    ]
    # A tensor that no arithmetic applies to (a mask, a counter) is taken from the first source.
    if node.op is None or not first.spec.dtype.arithmetic:
        combined = sources[0]
    else:
        combined = _blend(node, name, role, sources, _read(node.base, base) if node.base and base else None)
    expression = _scale(combined, find_factor(node.scales, role, name))
    axis = find_split_axis(first.suffix)
    table = "" if axis is None else find_table_name(first.suffix)
    return PlannedTensor(TensorSpec(name, first.spec.dtype, first.spec.shape), role, expression, table, axis or 0)


def _read(feed: Feed, tensor: DonorTensor) -> Expression:
    return tensor.expression or Copy(TensorRef(feed.donor, tensor.spec.name))


def _scale(expression: Expression, factor: float) -> Expression:
    return expression if factor == 1.0 else Scale(expression, factor)


def _fold(expression: Expression, factor: float, offset: float) -> Expression:
    """An expression times `factor`, where `offset` is that of `Scale`.

    If the expression is itself a tensor times a factor, both factors become one, so that the result is rounded once.
    """
    if isinstance(expression, Scale) and not expression.offset and not offset:
        return _scale(expression.of, expression.factor * factor)
    return expression if factor == 1.0 else Scale(expression, factor, offset)


def _blend(node: Node, name: str, role: str, sources: list[Expression], base: Expression | None) -> Blend:
    """A Blend with every parameter written out: the most specific value in the spec, or else the op's default."""
    op = OPS[str(node.op)]
    own = find_role_defaults(op, role) | find_values(node.settings, role, name)
    shared, per_source = fill_defaults(op, own, [find_values(feed.settings, role, name) for feed in node.feeds])
    of_sources = {parameter.name for parameter in op.parameters if parameter.per_source}
    parameters = tuple(sorted(item for item in shared.items() if item[0] not in of_sources))
    return Blend(
        op.name, tuple(sources), parameters, tuple(tuple(sorted(each.items())) for each in per_source), base, seed=name
    )


def _cast(planned: PlannedTensor, dtype: Dtype | None, is_cast: IsCast) -> PlannedTensor:
    tensor = planned.tensor
    if dtype is None or tensor.dtype is dtype or not tensor.dtype.arithmetic or not is_cast(planned, dtype):
        return planned
    spec = TensorSpec(tensor.name, dtype, tensor.shape)
    return replace(planned, tensor=spec, expression=Cast(planned.expression, dtype))
