"""Whether a stack can be built: each check is one function in the table, yields what is wrong, and raises nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from stacker.arch.model import Part
from stacker.core.donor import Donor, DonorTensor
from stacker.core.graph import StackGraph
from stacker.core.hf_config import compare_donors
from stacker.core.nodes import Node
from stacker.core.parameters import BoundSetting, values_at
from stacker.errors import Blame, Mark, Problem, Severity, did_you_mean
from stacker.ops.table import OPS

Check = Callable[[StackGraph, Mapping[str, Donor]], Iterator[Problem]]


def check(graph: StackGraph, donors: Mapping[str, Donor]) -> tuple[Problem, ...]:
    """All problems of a stack, each said once, those found while building the graph first."""
    found = [*graph.problems, *(problem for each in CHECKS for problem in each(graph, donors))]
    return tuple(dict.fromkeys(found))


def check_donors_agree(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Donors that meet on the residual stream are of one kind: head geometry, norms, rotary parameters."""
    used = dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds)
    template = donors[graph.template]
    for name in used:
        if name != template.name:
            yield from compare_donors(template, donors[name])


def check_shapes(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Each tensor of a layer has one shape in all donors that give layers, or one of those the template's layers have."""
    names = dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds)
    shapes = {name: _shapes(donors[name]) for name in names}
    for one, other in combinations(names, 2):
        differing = [
            (suffix, sorted(shapes[one][suffix])[0], sorted(shapes[other][suffix])[0])
            for suffix in shapes[one].keys() & shapes[other].keys()
            if not shapes[one][suffix] & shapes[other][suffix]
        ]
        if differing:
            suffix, here, there = min(differing)
            more = f" (and {len(differing) - 1} more tensors)" if len(differing) > 1 else ""
            message = f"layers of '{one}' and '{other}' do not fit: {suffix} is {list(here)} and {list(there)}{more}"
            yield Problem(message, "donors of one stack need the same widths", _meeting(graph, one, other))


def _shapes(donor: Donor) -> dict[str, set[tuple[int, ...]]]:
    found: dict[str, set[tuple[int, ...]]] = {}
    for tensor in donor.tensors.values():
        if tensor.part is Part.LAYER:
            found.setdefault(tensor.suffix, set()).add(tensor.spec.shape)
    return found


def _meeting(graph: StackGraph, one: str, other: str) -> Mark | None:
    """Where in the spec the second of two donors first comes in."""
    seen: set[str] = set()
    for node in graph.layers:
        seen |= {feed.donor for feed in node.feeds}
        if {one, other} <= seen:
            return node.mark
    return None


def check_ends(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Embedding and head are as wide as each other and, together, as the layers between them."""
    embed, head = donors[graph.embed.feeds[0].donor], donors[graph.head.feeds[0].donor]
    rows = {end.name: _rows(end, part) for end, part in ((embed, Part.EMBED), (head, Part.HEAD))}
    if None not in rows.values() and len(set(rows.values())) > 1:
        message = f"the embedding of '{embed.name}' has {rows[embed.name]} tokens, the head of '{head.name}' {rows[head.name]}"
        hint = "take both from one donor: `embed: {0}` and `head: {0}`".format(embed.name)
        yield Problem(message, hint, graph.head.mark)
    widths = {donors[feed.donor].name: _width(donors[feed.donor]) for node in graph.nodes for feed in node.feeds}
    known = {width for width in widths.values() if width is not None}
    if len(known) > 1:
        said = ", ".join(f"{name}: {width}" for name, width in widths.items() if width is not None)
        yield Problem(f"the donors' hidden sizes differ ({said})", "a stack has one hidden size", graph.layers[0].mark)


def _rows(donor: Donor, part: Part) -> int | None:
    """Number of tokens that the embedding or the head of a donor knows."""
    role = "embed" if part is Part.EMBED else "head"
    tables = [t for t in donor.outside(part).values() if t.role in (role, "embed") and len(t.spec.shape) == 2]
    return tables[0].spec.shape[0] if tables else None


def _width(donor: Donor) -> int | None:
    """The hidden size as the embedding has it."""
    tables = [t for t in donor.outside(Part.EMBED).values() if t.role == "embed" and len(t.spec.shape) == 2]
    return tables[0].spec.shape[1] if tables else None


def check_prefixes(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """The donors call their tensors alike: what stands outside the layers keeps its name."""
    template = donors[graph.template]
    for name in dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds):
        prefix = donors[name].architecture.prefix
        if prefix != template.architecture.prefix:
            message = f"donor '{name}' calls its layers '{prefix}', '{template.name}' '{template.architecture.prefix}'"
            yield Problem(message, "save one of them anew with transformers", blame=Blame.DONOR)


CHECKS: tuple[Check, ...] = (check_donors_agree, check_shapes, check_ends, check_prefixes)
