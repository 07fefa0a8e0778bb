"""Finds weaknesses of stacks that can be built; each lint is one function in the table LINTS.

The measurements that hints mention were made with SmolLM2-135M, which has 30 layers and, unchanged, a perplexity of
23.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stacker.core.checks.hops import lint_hops
from stacker.core.checks.lint_donors import lint_dtypes, lint_lineage, lint_token_ids, lint_vocabularies
from stacker.core.checks.lint_layers import (
    lint_backward_jumps,
    lint_cancelled_factors,
    lint_edges_repeated,
    lint_ends,
    lint_patterns,
    lint_skips,
    lint_unused_layers,
)
from stacker.core.checks.lint_roles import lint_guessed_roles
from stacker.core.clients.problems import list_client_problems
from stacker.core.clients.verdicts import Verdict
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Problem, Severity
from stacker.spec.language.stack_spec import StackSpec

Lint = Callable[[StackGraph, Mapping[str, Donor], StackSpec], Iterator[Problem]]

LINTS: tuple[Lint, ...] = (
    lint_lineage,
    lint_vocabularies,
    lint_token_ids,
    lint_dtypes,
    lint_edges_repeated,
    lint_ends,
    lint_backward_jumps,
    lint_skips,
    lint_patterns,
    lint_cancelled_factors,
    lint_hops,
    lint_guessed_roles,
    lint_unused_layers,
)


def lint(
    graph: StackGraph, donors: Mapping[str, Donor], spec: StackSpec, verdicts: Sequence[Verdict] = ()
) -> tuple[Problem, ...]:
    """All warnings about a stack, followed by all notes, without duplicates; empty if the stack has no layers.

    Each reason in `verdicts` why a client does not compute the stack correctly becomes a warning or a note.
    """
    if not graph.layers:
        return ()
    found = (problem for run_lint in LINTS for problem in run_lint(graph, donors, spec))
    problems = dict.fromkeys((*found, *list_client_problems(verdicts, verdicts, graph, donors)))
    return tuple(sorted(problems, key=lambda problem: problem.severity is Severity.NOTE))
