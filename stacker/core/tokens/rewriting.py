"""Rewrites donors for the tokenizer of the result: the rows of embedding and head, and the tokenizer's files."""

from __future__ import annotations

from collections.abc import Mapping

from stacker.core.stack.graph import StackGraph, list_inputs
from stacker.core.tokens.rows import align_rows, cut_rows
from stacker.core.tokens.tokenizer_files import Tokenizers, add_tokens, replace_template
from stacker.core.tokens.vocabulary import count_rows, make_vocabulary
from stacker.core.values.donor import Donor
from stacker.errors import Problem, Severity, select_errors
from stacker.spec.language.stack_spec import Dialect, StackSpec, VocabularySpec


def rewrite_donors(
    spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor], tokenizers: Tokenizers
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """The donors with embedding and head rows in the order of the result's tokens, and the problems found.

    If the spec sets no vocabulary, rows stay as they are; but in specs for mergekit, donors of a blended embedding or
    head keep only row numbers that all of them have.
    """
    chosen = graph.tokenizer
    rewritten, problems = dict(donors), tuple[Problem, ...]()
    if spec.vocabulary is not None:
        rewritten, problems = _follow_tokens(spec.vocabulary, spec.base or chosen, chosen, donors, tokenizers)
    elif spec.dialect is Dialect.MERGEKIT:
        rewritten, problems = _cut_to_common_rows(graph, donors)
    if spec.chat_template is not None:
        rewritten[chosen] = replace_template(rewritten[chosen], spec.chat_template, tokenizers.files)
    return rewritten, problems


def _follow_tokens(
    wanted: VocabularySpec, base: str, chosen: str, donors: Mapping[str, Donor], tokenizers: Tokenizers
) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    vocabulary = make_vocabulary(wanted, chosen, donors, tokenizers.tokens)
    if select_errors(vocabulary.problems):
        return dict(donors), vocabulary.problems
    aligned, problems = align_rows(vocabulary, wanted, base, donors, tokenizers.tokens)
    aligned[chosen], notes = add_tokens(aligned[chosen], vocabulary.new, tokenizers.files)
    return aligned, (*problems, *notes)


def _cut_to_common_rows(graph: StackGraph, donors: Mapping[str, Donor]) -> tuple[dict[str, Donor], tuple[Problem, ...]]:
    """Cut the donors of a blended embedding or head to the smallest number of rows among them.

    mergekit 0.1.5 does so with its option --unsafe-truncate-embeddings and refuses otherwise.
    Returns (all donors by name, problems); the problems include a warning if rows were cut.
    """
    blended = [node for node in (graph.embed, graph.head) if node.op]
    sizes = {feed.donor: count_rows(donors[feed.donor]) for node in blended for feed in list_inputs(node)}
    if len(set(sizes.values())) < 2 or not all(sizes.values()):
        return dict(donors), ()
    least = min(sizes.values())
    cut = dict(donors)
    problems: list[Problem] = []
    for name in (name for name, size in sizes.items() if size > least):
        cut[name], more = cut_rows(donors[name], least)
        problems += more
    listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    message = f"the embeddings have different numbers of rows ({listed}); only the first {least} are used"
    hint = (
        "mergekit does so with --unsafe-truncate-embeddings; it is right only if these rows belong to the same tokens: "
        "with `tokenizer_source: base`, rows are matched by token"
    )
    return cut, (*problems, Problem(message, hint, blended[0].mark, Severity.WARNING))
