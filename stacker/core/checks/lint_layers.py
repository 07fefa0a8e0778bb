"""Warns of layers that are repeated or unused, of unusual ends, jumps, broken patterns, and factors without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import LayerRule, Part, WriteKind
from stacker.arch.files.formula import FormulaError
from stacker.arch.files.roles import NORMED_BY, strip_role_suffixes
from stacker.arch.layer_rules import is_applicable, read_layer_value
from stacker.core.config.refusals import formula_names
from stacker.core.stack.graph import Junction, Naming, StackGraph, Table, count_uses, find_junctions, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.core.values.parameters import find_factor
from stacker.errors import Problem, Severity, layers_text, ranges_text
from stacker.spec.language.stack_spec import StackSpec

_WRITER_ROLES = {"attn.o", "mlp.down", "ssm.out"}
"""Roles of projections whose output is added to the residual stream."""
_FIRST, _LAST = 10, 20
"""A warning is given if any of the first 1/_FIRST or of the last 1/_LAST of a donor's layers are repeated."""


def lint_edges_repeated(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if a stack repeats the first or last layers of a donor.

    A layer that has no effect because it is scaled by 0 is not counted, and one blended with itself counts once.
    """
    uses: dict[tuple[str, int], list[Node]] = {}
    for node in _without_idle_layers(graph, donors).layers:
        for use in dict.fromkeys((feed.donor, feed.layer or 0) for feed in node.feeds):
            uses.setdefault(use, []).append(node)
    for name, donor in donors.items():
        again = sorted(layer for (owner, layer), nodes in uses.items() if owner == name and len(nodes) > 1)
        first = [layer for layer in again if layer < max(1, donor.depth // _FIRST)]
        last = [layer for layer in again if layer >= donor.depth - max(1, donor.depth // _LAST) and layer not in first]
        if first:
            message = f"the stack repeats {layers_text(first)}, at the beginning of '{name}'"
            hint = (
                "repeating the first layers hurts most (measured: perplexity rose from 23 to 16,475); repeat later ones"
            )
            yield Problem(message, hint, uses[name, first[0]][1].mark, Severity.WARNING)
        if last:
            message = f"the stack repeats {layers_text(last)}, at the end of '{name}'"
            hint = "the last layers prepare the input of the head; repeat layers of the middle instead"
            yield Problem(message, hint, uses[name, last[0]][1].mark, Severity.WARNING)


def _without_idle_layers(graph: StackGraph, donors: Mapping[str, Donor]) -> StackGraph:
    """A copy of the stack without layers that add nothing to the residual stream; unchanged if no layer would remain.

    The remaining layers keep their indices.
    """
    idle = {
        node.index
        for node, named, tables in walk_tables(graph, donors)
        if node.part is Part.LAYER and _is_idle(node, named, tables[0])
    }
    layers = tuple(node for node in graph.layers if node.index not in idle)
    return replace(graph, layers=layers) if layers else graph


def _is_idle(node: Node, named: Naming, table: Table) -> bool:
    """Whether a layer adds nothing to the residual stream because all projections that write to it are scaled by 0."""
    scales = (*node.scales, *(node.feeds[0].scales if len(node.feeds) == 1 else ()))
    writers = [
        (name, tensor.role) for name, tensor in table.items() if strip_role_suffixes(tensor.role) in _WRITER_ROLES
    ]
    return bool(scales and writers) and all(find_factor(scales, role, named(name)) == 0 for name, role in writers)


def lint_ends(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if the stack does not begin with a donor's first layer or does not end with a donor's last layer."""
    active = _without_idle_layers(graph, donors).layers
    first, last = active[0], active[-1]
    starts, stops = first.feeds[0], last.feeds[0]
    if starts.layer:
        message = f"the stack begins with layer {starts.layer} of '{starts.donor}', not with its first, 0"
        hint = f"only layer 0 was trained on embeddings: begin with {starts.donor}[0:…]"
        yield Problem(message, hint, first.mark, Severity.WARNING)
    depth = donors[stops.donor].depth
    if all((feed.layer or 0) < donors[feed.donor].depth - 1 for feed in last.feeds):
        message = f"the stack ends with layer {stops.layer} of '{stops.donor}', not with its last, {depth - 1}"
        hint = f"the head was trained on the output of layer {depth - 1}: end with {stops.donor}[…:{depth}]"
        yield Problem(message, hint, last.mark, Severity.WARNING)


def lint_unused_layers(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Note donor layers that the stack does not use, and donors of which no layer is used, not even as a base."""
    partly = []
    bases = {(node.base.donor, node.base.layer) for node in graph.nodes if node.base}
    for name, uses in count_uses(graph, donors).items():
        unused = [layer for layer, count in enumerate(uses) if not count and (name, layer) not in bases]
        if any(uses):
            partly += [f"{name} {ranges_text(unused)}"] if unused else []
        elif all(donor != name for donor, _ in bases):
            yield Problem(f"no layer of '{name}' is used", "", None, Severity.NOTE)
    if partly:
        hint = "fine where intended or where another donor fills the gap; layers after a gap get unusual inputs"
        yield Problem(f"layers in no slice: {'; '.join(partly)}", hint, None, Severity.NOTE)


def lint_backward_jumps(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if the stack jumps back over more than two fifths of a donor's layers."""
    far = [
        each
        for each in find_junctions(_without_idle_layers(graph, donors))
        if -each.jump > 0.4 * donors[each.after.donor].depth
    ]
    if far:
        worst = min(far, key=lambda each: each.jump)
        more = f" (and {len(far) - 1} more such jumps)" if far[1:] else ""
        message = f"{_junction_text(worst)} the stack jumps back {-worst.jump} layers{more}"
        hint = "the longer the jump, the less a layer's input resembles its training; overlap less, or train the result"
        yield Problem(message, hint, graph.layers[worst.index].mark, Severity.WARNING)


def lint_skips(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if the stack skips two or more layers in a row that are at least an eighth of the donor's layers."""
    far = [
        each
        for each in find_junctions(_without_idle_layers(graph, donors))
        if each.jump >= max(2, donors[each.after.donor].depth // 8)
    ]
    if far:
        worst = max(far, key=lambda each: each.jump)
        message = f"{_junction_text(worst)} the stack skips {worst.jump} layers"
        hint = "measured: leaving out 4 layers of 30 multiplied perplexity by 4; skip fewer, or train the result"
        yield Problem(message, hint, graph.layers[worst.index].mark, Severity.WARNING)


def _junction_text(junction: Junction) -> str:
    before, after = junction.before, junction.after
    return f"before layer {junction.index} ({before.donor}[{before.layer}] to {after.donor}[{after.layer}])"


def lint_patterns(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if a per-layer value, such as the attention type, does not follow the pattern of the model family.

    The new config lists the right value for each layer, but some programs compute the value from the layer number
    instead. Families whose file has a section `clients` are skipped, because `core.clients` says which programs do so.
    """
    template = donors[graph.template]
    if template.architecture.clients:
        return
    names = {**collect_names(template.architecture, template.config), "depth": len(graph.layers)}
    used = dict.fromkeys(node.feeds[0].donor for node in graph.layers)
    own = {name: formula_names(donors[name]) for name in used}
    for rule in template.architecture.rules:
        if rule.write is WriteKind.LIST and len(rule.read) > 1 and is_applicable(rule, names):
            odd = [node.index for node in graph.layers if not _fits_pattern(rule, names, node, own)]
            if odd:
                message = f"{rule.name} does not follow the pattern of {template.architecture.name} from layer {odd[0]}"
                hint = (
                    f"'{rule.key}' in the config is right, but programs that derive it from the layer's number are "
                    "wrong; jumps by whole periods of the pattern keep it"
                )
                yield Problem(message, hint, graph.layers[odd[0]].mark, Severity.WARNING)


def _fits_pattern(rule: LayerRule, names: Mapping[str, Any], node: Node, own: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a node's donor layer has the value of `rule` that the family's pattern predicts for the node's index.

    The pattern is the last formula of `rule.read`, evaluated with the variables `names`; `own` has the variables of
    each donor. If a formula cannot be evaluated, the result is True.
    """
    try:
        value = read_layer_value(rule, own[node.feeds[0].donor], node.feeds[0].layer or 0)
        return bool(rule.read[-1].value({**names, "i": node.index}) == value)
    except FormulaError:
        return True


def lint_cancelled_factors(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if a projection is scaled but a following norm cancels the factor; a factor of 0 is never cancelled."""
    cancelled: dict[tuple[str, str], list[Node]] = {}
    for node, named, tables in walk_tables(graph, donors):
        for role, norm in _find_cancelled(node, named, tables[0]):
            cancelled.setdefault((role, norm), []).append(node)
    for (role, norm), nodes in cancelled.items():
        message = f"scaling {role} has no effect in {layers_text(node.index for node in nodes)}: {norm} follows it"
        yield Problem(message, f"scale {norm} instead", nodes[0].mark, Severity.WARNING)


def _find_cancelled(node: Node, named: Naming, table: Table) -> Iterator[tuple[str, str]]:
    """Yield (role of the projection, role of the norm) for each scaled projection whose factor a norm cancels."""
    scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
    if not scales:
        return
    factors = {tensor.role: find_factor(scales, tensor.role, named(name)) for name, tensor in table.items()}
    for role, factor in factors.items():
        norm = NORMED_BY.get(strip_role_suffixes(role))
        if norm in factors and not role.endswith(".bias") and factor not in (0.0, 1.0) and factors[norm] == 1.0:
            yield strip_role_suffixes(role), norm
