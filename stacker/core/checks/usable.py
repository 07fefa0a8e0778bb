"""Checks the items of a spec that has errors, so that what is wrong elsewhere is told at the same time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import chain

from stacker.core.checks.blends import check_inputs_of, check_ops, check_sources, check_words
from stacker.core.checks.rules import check_roles
from stacker.core.stack.graph import build_graph
from stacker.core.stack.nodes import Node, outline_items
from stacker.core.values.donor import Donor
from stacker.errors import Problem
from stacker.spec.language.stack_spec import StackSpec
from stacker.spec.language.usable import find_doubtful, keep_usable


def check_usable(spec: StackSpec, donors: Mapping[str, Donor], unread: Collection[Problem]) -> tuple[Problem, ...]:
    """The problems of single items in a spec that has errors, or whose donors cannot all be read.

    `donors` are those that can be read, and `unread` the problems of the others. Names and values are checked in every
    item; what items need as a whole, only where their text has no errors.
    """
    outlines = [*outline_items(spec)]
    words = [*chain.from_iterable(map(check_words, outlines)), *check_roles(outlines, donors)]
    usable = keep_usable(spec, donors)
    doubtful = find_doubtful(spec, usable, (*spec.problems, *unread))
    words += chain.from_iterable(check_inputs_of(node) for node in outlines if node.mark not in doubtful)
    if not usable.stack:
        return tuple(dict.fromkeys(words))
    graph = build_graph(usable, donors)

    def keep_sound(node: Node) -> Node:
        plain = replace(node, feeds=node.feeds[:1], op=None, settings=(), base=None)
        return plain if node.mark in doubtful else node

    embed, *layers, head = map(keep_sound, graph.nodes)
    sound = replace(graph, embed=embed, layers=tuple(layers), head=head)
    found = (*words, *graph.problems, *check_ops(sound, donors), *check_sources(sound, donors))
    return tuple(dict.fromkeys(found))
