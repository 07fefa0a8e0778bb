"""Checks whether a stack can be built; each check is one function in the tuple CHECKS that yields problems.

Faults of a stack never raise exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations

from stacker.arch.files.architecture import Part
from stacker.core.checks.blends import check_arithmetic, check_ops, check_sources, check_words
from stacker.core.checks.hops import check_hops
from stacker.core.config.agreement import compare_donors
from stacker.core.stack.graph import StackGraph, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.core.values.parameters import match_name
from stacker.errors import Mark, Problem, did_you_mean

Check = Callable[[StackGraph, Mapping[str, Donor]], Iterator[Problem]]


def check(graph: StackGraph, donors: Mapping[str, Donor]) -> tuple[Problem, ...]:
    """All problems of a stack without duplicates, beginning with those that were found while its graph was built."""
    problems = [*graph.problems, *(problem for run_check in CHECKS for problem in run_check(graph, donors))]
    return tuple(dict.fromkeys(problems))


def check_parts(graph: StackGraph, donors: Mapping[str, Donor], doubtful: Collection[Mark]) -> tuple[Problem, ...]:
    """The problems of the single items of a stack that is made of the usable parts of a spec with errors.

    Of the items at the marks `doubtful`, whose text has errors, only names and values are checked.
    """

    def keep_sound(node: Node) -> Node:
        plain = replace(node, feeds=node.feeds[:1], op=None, settings=(), base=None)
        return plain if node.mark in doubtful else node

    embed, *layers, head = map(keep_sound, graph.nodes)
    sound = replace(graph, embed=embed, layers=tuple(layers), head=head)
    words = chain.from_iterable(map(check_words, graph.nodes))
    found = (*check_rules(graph, donors), *words, *check_ops(sound, donors), *check_sources(sound, donors))
    return tuple(dict.fromkeys((*graph.problems, *found)))


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


def check_rules(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report roles and name patterns in the spec's parameters that match no tensor of the stack."""
    roles = {
        named(name): tensor.role
        for _, named, tables in walk_tables(graph, donors)
        for name, tensor in tables[0].items()
    }
    for word, mark in dict.fromkeys(each for node in graph.nodes for each in _written_rules(node)):
        if "*" in word:
            if not any(match_name(name, word) for name in roles):
                message, hint = f"no tensor of the stack has a name like '{word}'", "patterns must match full names"
                yield Problem(message, hint, mark)
        elif not any(role == word or role.startswith(f"{word}.") for role in roles.values()):
            yield Problem(f"no tensor of the stack has the role '{word}'", _suggest_role(word, roles), mark)


def _suggest_role(word: str, roles: Mapping[str, str]) -> str:
    """A hint for a word that is no role; if it is a part of tensor names, such as `o_proj`, the role of these tensors.

    `roles` maps the names of the stack's tensors to their roles.
    """
    meant = dict.fromkeys(role for name, role in roles.items() if word in name.split("."))
    if meant:
        return f"did you mean {' or '.join(repr(role) for role in [*meant][:_MOST_SUGGESTED])}?"
    return did_you_mean(word, {*roles.values(), *(role.partition(".")[0] for role in roles.values())})


def _written_rules(node: Node) -> Iterator[tuple[str, Mark | None]]:
    """Yield (role or name pattern, its place in the spec) for each rule of the node's factors and op parameters."""
    scales = [(scale, node.mark) for scale in (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))]
    settings = (*node.settings, *(setting for feed in node.feeds for setting in feed.settings))
    for bound, mark in (*scales, *((setting.bound, setting.mark or node.mark) for setting in settings)):
        yield from ((rule.match, rule.mark or mark) for rule in bound.parameter.rules if rule.match != "*")


_MOST_SUGGESTED = 4

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
