"""Checks the roles and name patterns by which the parameters in a spec select tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stacker.core.stack.graph import StackGraph, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor
from stacker.core.values.parameters import match_name
from stacker.errors import Mark, Problem, did_you_mean

_MOST_SUGGESTED = 4
"""How many roles a hint names."""


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
        elif not has_role(word, roles.values()):
            yield Problem(f"no tensor of the stack has the role '{word}'", _suggest_role(word, roles), mark)


def has_role(word: str, roles: Iterable[str]) -> bool:
    """Whether a word is one of the roles, or begins one as `attn` begins `attn.q`."""
    return any(role == word or role.startswith(f"{word}.") for role in roles)


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


def check_roles(nodes: Iterable[Node], donors: Mapping[str, Donor]) -> Iterator[Problem]:
    """Report roles in the parameters of nodes that no tensor of any donor has."""
    roles = {name: tensor.role for donor in donors.values() for name, tensor in donor.tensors.items()}
    for word, mark in dict.fromkeys(each for node in nodes for each in _written_rules(node)) if roles else ():
        if "*" not in word and not has_role(word, roles.values()):
            yield Problem(f"no tensor of the stack has the role '{word}'", _suggest_role(word, roles), mark)
