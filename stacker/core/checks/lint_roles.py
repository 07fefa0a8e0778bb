"""Warns where a spec selects tensors by roles that were guessed from the tensors' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stacker.arch.placement import replace_expert_number
from stacker.core.stack.graph import StackGraph, list_inputs, walk_tables
from stacker.core.stack.nodes import Node
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem, Severity
from stacker.spec.language.stack_spec import StackSpec

_MOST = 3
"""How many tensors a warning names."""


def lint_guessed_roles(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn of roles in scales and op parameters that select tensors whose role is guessed from the name.

    A role is guessed if the donor's architecture does not list the tensor. In GGUF files, a name has one meaning.
    """
    guesses: dict[str, dict[str, str]] = {}
    places: dict[str, Node] = {}
    listed = {name: {each.name for each in donor.architecture.tensors} for name, donor in donors.items()}
    for node, named, tables in walk_tables(graph, donors):
        roles = _list_roles(node)
        for feed, table in zip(list_inputs(node), tables, strict=True) if roles else ():
            for key, tensor in table.items():
                if donors[feed.donor].container != "gguf" and _is_guessed(tensor, listed[feed.donor]):
                    for role in _find_selecting(roles, tensor.role):
                        guesses.setdefault(role, {}).setdefault(tensor.suffix or key, f"{named(key)} as {tensor.role}")
                        places.setdefault(role, node)
    for role, found in guesses.items():
        shown = ", ".join([*found.values()][:_MOST]) + (", …" if len(found) > _MOST else "")
        message = f"'{role}' selects tensors whose roles are guessed from their names: {shown}"
        hint = "if a guess is wrong, write a pattern for the tensors' names instead, such as '*.c_proj.*'"
        yield Problem(message, hint, places[role].mark, Severity.WARNING)


def _list_roles(node: Node) -> tuple[str, ...]:
    """The roles by which the scales and op parameters of a node select tensors."""
    scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
    settings = (*node.settings, *(setting for feed in node.feeds for setting in feed.settings))
    bounds = (*scales, *(setting.bound for setting in settings))
    return tuple(dict.fromkeys(rule.match for each in bounds for rule in each.parameter.rules if "*" not in rule.match))


def _is_guessed(tensor: DonorTensor, listed: set[str]) -> bool:
    name = tensor.suffix or tensor.spec.name
    return name not in listed and replace_expert_number(name) not in listed


def _find_selecting(roles: tuple[str, ...], role: str) -> Iterator[str]:
    return (each for each in roles if role == each or role.startswith(f"{each}."))
