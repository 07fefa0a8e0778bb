"""Checks the blends and factors of a stack: valid ops and parameters, matching tensors, types that allow arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from stacker.core.stack.graph import Naming, StackGraph, Table, list_inputs, walk_tables
from stacker.core.stack.hops import find_hop_factors
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.parameters import BoundSetting, find_factor, find_values
from stacker.errors import Blame, Problem, did_you_mean
from stacker.ops.shared.op import Op, Value
from stacker.ops.shared.settings import check_blend, check_inputs, check_setting
from stacker.ops.table import OPS
from stacker.spec.language.stack_spec import Gradient


def check_ops(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report blends with an unknown op or the wrong number of sources, and missing or invalid parameters of ops."""
    for node, named, tables in walk_tables(graph, donors):
        wrong = list(check_words(node))
        yield from wrong
        if node.op and not wrong:
            yield from _check_tensor_values(OPS[node.op], node, named, tables[0])


def check_words(node: Node) -> Iterator[Problem]:
    """Report an unknown op of a node, and parameters and values in the spec that are invalid for the op."""
    op = OPS.get(node.op) if node.op else None
    if op is not None:
        yield from _check_spec_values(op, node)
    elif node.op:
        yield Problem(f"there is no op '{node.op}'", did_you_mean(node.op, OPS), node.op_mark or node.mark)


def check_inputs_of(node: Node) -> Iterator[Problem]:
    """Report a wrong number of sources, or a missing base, of a node whose op is known."""
    if node.op in OPS:
        found = check_inputs(OPS[node.op], len(node.feeds), node.base is not None)
        yield from (replace(problem, mark=node.mark) for problem in found)


def _check_spec_values(op: Op, node: Node) -> Iterator[Problem]:
    """Report every parameter value in the spec that is invalid for the op, even if the value applies to no tensor."""
    groups = [(node.settings, False), *((feed.settings, True) for feed in node.feeds)]
    for settings, of_source in groups:
        for setting in settings:
            for value in _spec_values(setting):
                for problem in check_setting(op, setting.name, value, of_source=of_source):
                    yield replace(problem, mark=setting.mark or node.mark)


def _spec_values(setting: BoundSetting) -> Iterator[Value]:
    for rule in setting.bound.parameter.rules:
        yield from rule.value.knots if isinstance(rule.value, Gradient) else (rule.value,)


def _check_tensor_values(op: Op, node: Node, named: Naming, table: Table) -> Iterator[Problem]:
    """Report problems of the parameter values that apply to the node's tensors; report each problem only once.

    If only some of the tensors have a problem, its message names the first of them.
    """
    problems: dict[Problem, list[str]] = {}
    for name, tensor in table.items():
        own = find_values(node.settings, tensor.role, named(name))
        of_sources = [find_values(feed.settings, tensor.role, named(name)) for feed in node.feeds]
        for problem in check_blend(op, own, of_sources, node.base is not None):
            problems.setdefault(problem, []).append(f"{name}, role {tensor.role}")
    for problem, tensors in problems.items():
        where = f" (for {tensors[0]})" if len(tensors) < len(table) else ""
        yield replace(problem, message=problem.message + where, mark=node.mark)


def check_sources(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report sources and bases of a blend whose tensors differ in name or shape from those of the first source."""
    for node, _, tables in walk_tables(graph, donors):
        for feed, table in zip(list_inputs(node)[1:], tables[1:], strict=True):
            yield from _compare_tables(node, feed.donor, tables[0], table)


def _compare_tables(node: Node, donor: str, ours: Table, theirs: Table) -> Iterator[Problem]:
    first = node.feeds[0].donor
    odd = sorted(ours.keys() ^ theirs.keys())
    if odd:
        owner = first if odd[0] in ours else donor
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        message = f"cannot blend '{first}' with '{donor}': only '{owner}' has {odd[0]}{more}"
        yield Problem(message, "blend layers with the same tensors", node.mark)
    for name in ours.keys() & theirs.keys():
        first_shape, shape = ours[name].spec.shape, theirs[name].spec.shape
        if first_shape != shape:
            message = f"cannot blend '{first}' with '{donor}': {name} is {list(first_shape)} and {list(shape)}"
            yield Problem(message, "the sources of a blend need the same shapes", node.mark)
            return


def check_arithmetic(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report the first donor tensor that is to be scaled or blended although it is stored quantised or packed."""
    for node, named, tables in walk_tables(graph, donors):
        for name, tensors in _computed_tensors(node, donors, named, tables):
            for feed, tensor in zip(list_inputs(node), tensors, strict=False):
                problem = _check_computable(donors[feed.donor], name, tensor)
                if problem:
                    yield replace(problem, mark=node.mark)
                    return


def _computed_tensors(
    node: Node, donors: Mapping[str, Donor], named: Naming, tables: Sequence[Table]
) -> Iterator[tuple[str, list[DonorTensor]]]:
    """Yield (name, donor tensors it is computed from) for each tensor of the node that is scaled or blended."""
    folded = find_hop_factors(node, donors, tables[0])
    for name, tensor in tables[0].items():
        scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
        if node.op or name in folded or find_factor(scales, tensor.role, named(name)) != 1.0:
            yield name, [table[name] for table in tables if name in table]


def _check_computable(donor: Donor, name: str, tensor: DonorTensor) -> Problem | None:
    hint = "use layers of this donor unchanged, or a copy of it saved in bfloat16"
    if donor.quantized:
        message = f"donor '{donor.name}' is quantised ({donor.quantized}): its weights cannot be scaled or blended"
        return Problem(message, "write `output: {dequantize: true}`, or use its layers unchanged", blame=Blame.DONOR)
    if tensor.spec.dtype.arithmetic:
        return None
    if tensor.spec.dtype.bits < 8 or tensor.spec.dtype.block > 1 or tensor.spec.dtype.label == "F8_E8M0":
        message = f"donor '{donor.name}': {name} is packed ({tensor.spec.dtype.label}) and cannot be scaled or blended"
        return Problem(message, hint, blame=Blame.DONOR)
    return None
