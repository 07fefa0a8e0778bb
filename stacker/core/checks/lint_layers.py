"""Lints of the order of layers: which come again, which never, and how far the stack jumps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stacker.arch.dimensions import names_in
from stacker.arch.files.architecture import LayerRule, Part, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.files.roles import NORMED_BY, base_role
from stacker.arch.layer_rules import holds, layer_value
from stacker.core.stack.graph import Junction, Naming, StackGraph, Table, count_uses, find_junctions, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.core.values.parameters import factor_at
from stacker.errors import Problem, Severity, layers_text, ranges_text
from stacker.spec.language.stack_spec import StackSpec

_WRITERS = {"attn.o", "mlp.down", "ssm.out"}
"""Roles of what writes to the residual stream."""
_FIRST, _LAST = 10, 20
"""The first tenth of a donor's layers, and the last twentieth, are those that bear repeating worst."""


def lint_edges_repeated(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """The first or last layers of a donor come again; copies that add nothing (both factors 0) do not count."""
    uses: dict[tuple[str, int], list[Node]] = {}
    for node in _acting(graph, donors).layers:
        for feed in node.feeds:
            uses.setdefault((feed.donor, feed.layer or 0), []).append(node)
    for name, donor in donors.items():
        again = sorted(layer for (owner, layer), nodes in uses.items() if owner == name and len(nodes) > 1)
        first = [layer for layer in again if layer < max(1, donor.depth // _FIRST)]
        last = [layer for layer in again if layer >= donor.depth - max(1, donor.depth // _LAST) and layer not in first]
        if first:
            message = f"'{name}': {layers_text(first)}, of the first of its {donor.depth}, come more than once"
            hint = "repeating the first layers hurts most (measured: perplexity 23 to 16,475); start the copy later"
            yield Problem(message, hint, uses[name, first[0]][1].mark, Severity.WARNING)
        if last:
            message = f"'{name}': {layers_text(last)}, of the last of its {donor.depth}, come more than once"
            hint = "the last layers shape what the head reads; repeat runs of the middle instead"
            yield Problem(message, hint, uses[name, last[0]][1].mark, Severity.WARNING)


def _acting(graph: StackGraph, donors: Mapping[str, Donor]) -> StackGraph:
    """The stack without layers that add nothing: what the stream really runs through. Layers keep their numbers."""
    idle = {
        node.index
        for node, named, tables in walk_tables(graph, donors)
        if node.part is Part.LAYER and _adds_nothing(node, named, tables[0])
    }
    layers = tuple(node for node in graph.layers if node.index not in idle)
    return replace(graph, layers=layers) if layers else graph


def _adds_nothing(node: Node, named: Naming, table: Table) -> bool:
    """Whether all that a layer's sublayers write is scaled to zero, so that it passes the stream on as it is."""
    scales = (*node.scales, *(node.feeds[0].scales if len(node.feeds) == 1 else ()))
    writers = [(name, tensor.role) for name, tensor in table.items() if base_role(tensor.role) in _WRITERS]
    return bool(scales and writers) and all(factor_at(scales, role, named(name)) == 0 for name, role in writers)


def lint_ends(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """The stack begins with a layer that read an embedding, and ends with one that a head read."""
    acting = _acting(graph, donors).layers
    first, last = acting[0], acting[-1]
    starts, stops = first.feeds[0], last.feeds[0]
    if starts.layer:
        message = f"the stack begins with layer {starts.layer} of '{starts.donor}', which has never seen an embedding"
        yield Problem(message, f"begin with {starts.donor}[0:…]", first.mark, Severity.WARNING)
    depth = donors[stops.donor].depth
    if all((feed.layer or 0) < donors[feed.donor].depth - 1 for feed in last.feeds):
        message = f"the stack ends with layer {stops.layer} of '{stops.donor}', not with its last, {depth - 1}"
        hint = f"the head was trained on what layer {depth - 1} writes: end with {stops.donor}[…:{depth}]"
        yield Problem(message, hint, last.mark, Severity.WARNING)


def lint_unused_layers(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Layers that the stack leaves out, and donors that give it none."""
    partly = []
    for name, uses in count_uses(graph, donors).items():
        unused = [layer for layer, count in enumerate(uses) if not count]
        if len(unused) == len(uses):
            yield Problem(f"'{name}' gives no layer to the stack", "", None, Severity.NOTE)
        elif unused:
            partly.append(f"{name} {ranges_text(unused)}")
    if partly:
        hint = "fine where another donor fills the gap, or where it was meant; a gap is felt by what follows it"
        yield Problem(f"layers in no slice: {'; '.join(partly)}", hint, None, Severity.NOTE)


def lint_backward_jumps(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Jumps back over more than two fifths of a donor's layers."""
    far = [each for each in find_junctions(_acting(graph, donors)) if -each.jump > 0.4 * donors[each.after.donor].depth]
    if far:
        worst = min(far, key=lambda each: each.jump)
        more = f" (and {len(far) - 1} more as far)" if far[1:] else ""
        message = f"{_place(worst)} the stack jumps back {-worst.jump} layers{more}"
        hint = "the longer a jump back, the stranger its input; shorter overlaps, or training afterwards, mend it"
        yield Problem(message, hint, graph.layers[worst.index].mark, Severity.WARNING)


def lint_skips(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Jumps forward over an eighth of a donor's layers and more."""
    far = [
        each
        for each in find_junctions(_acting(graph, donors))
        if each.jump >= max(2, donors[each.after.donor].depth // 8)
    ]
    if far:
        worst = max(far, key=lambda each: each.jump)
        message = f"{_place(worst)} the stack skips {worst.jump} layers"
        hint = "measured: leaving out 4 layers of 30 made perplexity 4 times as high; skip fewer, or train afterwards"
        yield Problem(message, hint, graph.layers[worst.index].mark, Severity.WARNING)


def _place(junction: Junction) -> str:
    before, after = junction.before, junction.after
    return f"before layer {junction.index} ({before.donor}[{before.layer}] to {after.donor}[{after.layer}])"


def lint_patterns(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Kinds of layers that other programs derive from a layer's place stand elsewhere than these would put them."""
    template = donors[graph.template]
    names = {**names_in(template.architecture, template.config), "depth": len(graph.layers)}
    for rule in template.architecture.rules:
        if rule.write is WriteKind.LIST and len(rule.read) > 1 and holds(rule, names):
            odd = [node.index for node in graph.layers if not _as_placed(rule, names, node, donors)]
            if odd:
                message = f"{rule.name} does not follow the pattern of {template.architecture.name} from layer {odd[0]}"
                hint = (
                    f"'{rule.key}' in the config says it right; programs that go by a layer's number get it wrong. "
                    "Jumps by whole periods of the pattern keep it"
                )
                yield Problem(message, hint, graph.layers[odd[0]].mark, Severity.WARNING)


def _as_placed(rule: LayerRule, names: Mapping[str, Any], node: Node, donors: Mapping[str, Donor]) -> bool:
    """Whether a layer is of the kind that its new place would have by the rule's last reader, the one by number."""
    donor = donors[node.feeds[0].donor]
    own = {**names_in(donor.architecture, donor.config), "depth": donor.depth}
    try:
        there = layer_value(rule, own, node.feeds[0].layer or 0)
        return bool(rule.read[-1].value({**names, "i": node.index}) == there)
    except FormulaError:
        return True


def lint_cancelled_factors(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Projections are scaled whose output is normed, so that the factor has no effect; 0 has."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node, named, tables in walk_tables(graph, donors):
        for role, norm in _cancelled(node, named, tables[0]):
            found.setdefault((role, norm), []).append(node)
    for (role, norm), nodes in found.items():
        message = f"scaling {role} has no effect in {layers_text(node.index for node in nodes)}: {norm} follows it"
        yield Problem(message, f"scale {norm} instead", nodes[0].mark, Severity.WARNING)


def _cancelled(node: Node, named: Naming, table: Table) -> Iterator[tuple[str, str]]:
    """The roles of a layer that are scaled in vain, each with the norm that undoes it."""
    scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
    if not scales:
        return
    factors = {tensor.role: factor_at(scales, tensor.role, named(name)) for name, tensor in table.items()}
    for role, factor in factors.items():
        norm = NORMED_BY.get(base_role(role))
        if norm in factors and not role.endswith(".bias") and factor not in (0.0, 1.0) and factors[norm] == 1.0:
            yield base_role(role), norm
