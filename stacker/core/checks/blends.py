"""Checks of arithmetic: ops and their parameters, sources that fit each other, tensors that can be computed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.core.stack.graph import Naming, StackGraph, Table, list_inputs, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.parameters import BoundSetting, factor_at, values_at
from stacker.errors import Blame, Problem, did_you_mean
from stacker.ops.shared.op import Op, Value
from stacker.ops.shared.settings import check_blend, check_setting
from stacker.ops.table import OPS
from stacker.spec.language.stack_spec import Gradient


def check_ops(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Every op is known, gets as many sources as it takes, and each of its parameters for every tensor."""
    for node, named, tables in walk_tables(graph, donors):
        op = OPS.get(node.op) if node.op else None
        if node.op and op is None:
            yield Problem(f"there is no op '{node.op}'", did_you_mean(node.op, OPS), node.mark)
        if op is not None:
            wrong = list(_check_written(op, node))
            yield from wrong or _check_tensors(op, node, named, tables[0])


def _check_written(op: Op, node: Node) -> Iterator[Problem]:
    """What is wrong with the values as they stand in the spec, whichever tensors they are for."""
    groups = [(node.settings, False), *((feed.settings, True) for feed in node.feeds)]
    for settings, of_source in groups:
        for setting in settings:
            for value in _written(setting):
                for problem in check_setting(op, setting.name, value, of_source=of_source):
                    yield replace(problem, mark=setting.mark or node.mark)


def _written(setting: BoundSetting) -> Iterator[Value]:
    for rule in setting.bound.parameter.rules:
        yield from rule.value.knots if isinstance(rule.value, Gradient) else (rule.value,)


def _check_tensors(op: Op, node: Node, named: Naming, table: Table) -> Iterator[Problem]:
    """What is wrong with the values that each tensor gets; tensors with the same fault are said once, by the first."""
    said: dict[str, Problem] = {}
    for name, tensor in table.items():
        own = values_at(node.settings, tensor.role, named(name))
        each = [values_at(feed.settings, tensor.role, named(name)) for feed in node.feeds]
        for problem in check_blend(op, own, each, node.base is not None):
            where = f" (for {name}, role {tensor.role})" if own or any(each) or op.parameters else ""
            said.setdefault(problem.message, replace(problem, message=problem.message + where, mark=node.mark))
    yield from said.values()


def check_sources(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """The sources of a blend have the same tensors, of the same shapes."""
    for node, _, tables in walk_tables(graph, donors):
        for feed, table in zip(list_inputs(node)[1:], tables[1:], strict=True):
            yield from _compare(node, feed.donor, tables[0], table)


def _compare(node: Node, donor: str, ours: Table, theirs: Table) -> Iterator[Problem]:
    first = node.feeds[0].donor
    odd = sorted(ours.keys() ^ theirs.keys())
    if odd:
        owner = first if odd[0] in ours else donor
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        message = f"cannot blend '{first}' with '{donor}': only '{owner}' has {odd[0]}{more}"
        yield Problem(message, "blend layers of the same kind", node.mark)
    for name in ours.keys() & theirs.keys():
        here, there = ours[name].spec.shape, theirs[name].spec.shape
        if here != there:
            message = f"cannot blend '{first}' with '{donor}': {name} is {list(here)} and {list(there)}"
            yield Problem(message, "a blend needs sources of one shape", node.mark)
            return


def check_arithmetic(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """What is scaled, cast or blended is made of plain numbers: not packed, not quantised."""
    for node, named, tables in walk_tables(graph, donors):
        for name, tensors in _computed(node, named, tables):
            for feed, tensor in zip(list_inputs(node), tensors, strict=False):
                problem = _refusal(donors[feed.donor], name, tensor)
                if problem:
                    yield replace(problem, mark=node.mark)
                    return


def _computed(node: Node, named: Naming, tables: Sequence[Table]) -> Iterator[tuple[str, list[DonorTensor]]]:
    """The node's tensors on which arithmetic is asked for, with their sources."""
    for name, tensor in tables[0].items():
        scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
        if node.op or factor_at(scales, tensor.role, named(name)) != 1.0:
            yield name, [table[name] for table in tables if name in table]


def _refusal(donor: Donor, name: str, tensor: DonorTensor) -> Problem | None:
    hint = "use layers of this donor unchanged, or a copy of it saved in bfloat16"
    if donor.quantized:
        message = f"donor '{donor.name}' is quantised ({donor.quantized}): its weights can be moved, not computed with"
        return Problem(message, hint, blame=Blame.DONOR)
    if tensor.spec.dtype.bits < 8 or tensor.spec.dtype.label == "F8_E8M0":
        message = f"donor '{donor.name}': {name} is packed ({tensor.spec.dtype.label}) and cannot be computed with"
        return Problem(message, hint, blame=Blame.DONOR)
    return None
