"""Checks the hops of a stack: factors on the residual stream, which are folded into the weights of the layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stacker.arch.files.architecture import Part
from stacker.arch.hops import find_hop_refusals
from stacker.arch.placement import replace_expert_number
from stacker.core.stack.graph import StackGraph
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.errors import Problem, Severity
from stacker.spec.language.stack_spec import StackSpec
from stacker.tensors import Dtype


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits for the product of hops.

    A product outside of [least, most] is an error; one outside of [usual_least, usual_most] causes a warning.
    """

    least: float
    most: float
    usual_least: float
    usual_most: float


_BOUNDS = Bounds(1e-12, 64.0, 1e-6, 4.0)
_FLOAT16 = Bounds(1 / 64, 64.0, 1 / 4, 4.0)
"""What layers write is divided by the product, so a small one makes it large, and float16 ends at 65504."""


def check_hops(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report hops in families that cannot have them, and hops whose product is too small or too large."""
    first = next((node for node in graph.layers if node.hop != 1.0), None)
    if first is None:
        return
    names = dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds)
    for donor in (donors[name] for name in names):
        refusals = find_hop_refusals(donor.architecture, donor.config, first.index)
        for reason in (*refusals, *_find_unknown_tensors(donor)):
            message = f"layers of '{donor.name}' cannot have a hop: {reason}"
            yield Problem(message, "use `scale` on single layers instead", first.mark)
    yield from _check_product(graph, donors)


def _find_unknown_tensors(donor: Donor) -> Iterator[str]:
    """Yield a reason if a layer has tensors that the architecture file does not describe.

    Such a tensor may write to the residual stream, and would then have to be divided as well.
    """
    known = {template.name for template in donor.architecture.tensors if template.part is Part.LAYER}
    layered = (tensor for tensor in donor.tensors.values() if tensor.layer is not None)
    unknown = [each for each in layered if not {each.suffix, replace_expert_number(each.suffix)} & known]
    if known and unknown and not donor.quantized:
        more = f" (and {len(unknown) - 1} more)" if unknown[1:] else ""
        yield f"what {unknown[0].spec.name} of donor '{donor.name}' does is not known{more}"


def _check_product(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    bounds = _find_bounds(graph, donors, None)
    for node in graph.layers:
        if node.hop != 1.0 and not bounds.least <= node.hops <= bounds.most:
            hint = f"it must lie between {bounds.least:.3g} and {bounds.most:.3g}, so that no weight or norm overflows"
            yield Problem(_product_text(node), hint, node.mark)
            return


def lint_hops(graph: StackGraph, donors: Mapping[str, Donor], spec: StackSpec) -> Iterator[Problem]:
    """Warn if the product of hops is so large that the epsilon of norms matters, or so small that values overflow."""
    bounds = _find_bounds(graph, donors, spec.output.dtype)
    for node in graph.layers:
        if node.hop != 1.0 and not bounds.usual_least <= node.hops <= bounds.usual_most:
            hint = f"the stored residual stream is {1 / node.hops:.3g} times as large and may overflow"
            if node.hops > 1.0:
                hint = f"the epsilon of each norm acts as if it were {node.hops**2:.3g} times as large"
            yield Problem(_product_text(node), hint, node.mark, Severity.WARNING)
            return


def _product_text(node: Node) -> str:
    return f"the product of all hops up to layer {node.index} is {node.hops:.3g}"


def _find_bounds(graph: StackGraph, donors: Mapping[str, Donor], output: Dtype | None) -> Bounds:
    """The bounds for the dtypes of the donors' weights, or for the dtype `output` that all weights are cast to."""
    used = {feed.donor for node in graph.layers for feed in node.feeds if node.hops != 1.0}
    dtypes = {tensor.spec.dtype for name in used for tensor in donors[name].tensors.values()}
    return _FLOAT16 if Dtype.F16 in ({output} if output else dtypes) else _BOUNDS
