"""Checks whether a stack can be built; each check is one function in the tuple CHECKS that yields problems.

Faults of a stack never raise exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from stacker.arch.files.architecture import Part
from stacker.core.checks.blends import check_arithmetic, check_ops, check_sources
from stacker.core.checks.hops import check_hops
from stacker.core.checks.rules import check_rules
from stacker.core.config.agreement import compare_donors
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Mark, Problem

Check = Callable[[StackGraph, Mapping[str, Donor]], Iterator[Problem]]


def check(graph: StackGraph, donors: Mapping[str, Donor]) -> tuple[Problem, ...]:
    """All problems of a stack without duplicates, beginning with those that were found while its graph was built."""
    problems = [*graph.problems, *(problem for run_check in CHECKS for problem in run_check(graph, donors))]
    return tuple(dict.fromkeys(problems))


def check_donors_agree(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report donors whose config disagrees with the template's in sizes, structure, or settings such as rotary base."""
    used = dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds)
    template = donors[graph.template]
    for name in used:
        if name != template.name:
            yield from compare_donors(template, donors[name])


def check_shapes(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report pairs of donors whose layers have a tensor of the same name but in no layer of the same shape."""
    names = dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds)
    shapes = {name: _shapes(donors[name]) for name in names}
    for one, other in combinations(names, 2):
        differing = [
            (suffix, min(shapes[one][suffix]), min(shapes[other][suffix]))
            for suffix in shapes[one].keys() & shapes[other].keys()
            if not shapes[one][suffix] & shapes[other][suffix]
        ]
        if differing:
            suffix, first, second = min(differing)
            more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
            shapes_text = f"{suffix} is {list(first)} and {list(second)}{more}"
            message = f"layers of '{one}' and '{other}' have different shapes: {shapes_text}"
            yield Problem(message, "use donors of the same size", _find_meeting(graph, one, other))


def _shapes(donor: Donor) -> dict[str, set[tuple[int, ...]]]:
    found: dict[str, set[tuple[int, ...]]] = {}
    for table in donor.layers():
        for suffix, tensor in table.items():
            found.setdefault(suffix, set()).add(tensor.spec.shape)
    return found


def _find_meeting(graph: StackGraph, one: str, other: str) -> Mark | None:
    """The place in the spec of the first layer by which both donors have been used; None if one provides no layer."""
    seen: set[str] = set()
    for node in graph.layers:
        seen |= {feed.donor for feed in node.feeds}
        if {one, other} <= seen:
            return node.mark
    return None


def check_ends(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report an embedding and a head with different numbers of tokens; report donors with different hidden sizes."""
    embed, head = donors[graph.embed.feeds[0].donor], donors[graph.head.feeds[0].donor]
    known, predicted = _count_tokens(embed), _count_tokens(head)
    if known is not None and predicted is not None and known != predicted:
        message = f"the embedding of '{embed.name}' has {known} tokens, the head of '{head.name}' {predicted}"
        hint = f"take both from one donor: `embed: {embed.name}` and `head: {embed.name}`"
        yield Problem(message, hint, graph.head.mark)
    widths = {donors[feed.donor].name: _hidden_size(donors[feed.donor]) for node in graph.nodes for feed in node.feeds}
    sizes = {width for width in widths.values() if width is not None}
    if len(sizes) > 1:
        listed = ", ".join(f"{name}: {width}" for name, width in widths.items() if width is not None)
        yield Problem(
            f"the donors' hidden sizes differ ({listed})", "use donors with the same hidden size", graph.layers[0].mark
        )


def _count_tokens(donor: Donor) -> int | None:
    """The number of rows of a donor's head, or of its embedding if there is no head; None if there is neither.

    The head is preferred, because an embedding may have more rows than there are tokens.
    """
    for part in (Part.HEAD, Part.EMBED):
        tables = [t for t in donor.outside(part).values() if t.role in ("head", "embed") and len(t.spec.shape) == 2]
        if tables:
            return tables[0].spec.shape[0]
    return None


def _hidden_size(donor: Donor) -> int | None:
    """A donor's hidden size, which is the width of its embedding; None if it has no embedding."""
    tables = [t for t in donor.outside(Part.EMBED).values() if t.role == "embed" and len(t.spec.shape) == 2]
    return tables[0].spec.shape[1] if tables else None


CHECKS: tuple[Check, ...] = (
    check_donors_agree,
    check_shapes,
    check_ends,
    check_rules,
    check_ops,
    check_sources,
    check_arithmetic,
    check_hops,
)
