"""Embeddings of different lengths in a blend: the rows that all have, which is what mergekit blends."""

from __future__ import annotations

from collections.abc import Mapping

from stacker.core.stack.graph import StackGraph, list_inputs
from stacker.core.tokens.vocabulary import rows_of, with_rows
from stacker.core.values.donor import Donor
from stacker.errors import Problem, Severity


def cut_to_common_rows(graph: StackGraph, donors: Mapping[str, Donor]) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """The donors that embedding or head are blended from, cut to the shortest of them, with a warning."""
    blended = [node for node in (graph.embed, graph.head) if node.op]
    sizes = {feed.donor: rows_of(donors[feed.donor]) for node in blended for feed in list_inputs(node)}
    if len(set(sizes.values())) < 2 or not all(sizes.values()):
        return dict(donors), ()
    problems: list[Problem] = []
    least = min(sizes.values())
    cut = {
        name: with_rows(donors[name], tuple(((name, row, 1.0),) for row in range(least)), donors, problems)
        for name, size in sizes.items()
        if size > least
    }
    said = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    message = f"the embeddings have different numbers of rows ({said}); as in mergekit, the first {least} of each count"
    hint = "tokenizer_source: base puts the rows of each into the order of the base's tokens"
    return {**donors, **cut}, (*problems, Problem(message, hint, blended[0].mark, Severity.WARNING))
