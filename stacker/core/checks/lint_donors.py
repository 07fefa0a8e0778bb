"""Warns of differences between donors: origin, vocabulary, special tokens, element type.

Only configs and file headers are read; differences that `core.config.agreement` reports are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.core.config.rotary import list_rotary_bases, read_rotary_parameters
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, Severity
from stacker.spec.language.stack_spec import StackSpec

_MAX_ADDED = 0.01
"""If the sizes of two vocabularies differ by more than this share of the larger size, the tokenizers are different."""
_TOKEN_IDS = ("bos_token_id", "eos_token_id")


def lint_lineage(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Warn if a donor seems unrelated to the donor of the first layer.

    Two donors seem unrelated if they differ in at least two properties that fine-tuning keeps, such as family, depth or
    rotary base.
    """
    for one, other in _donor_pairs(graph, donors):
        differences = _lineage_differences(one, other)
        if len(differences) > 1:
            message = f"'{one.name}' and '{other.name}' seem unrelated: they differ in {_join_words(differences)}"
            hint = "layers of unrelated models do not work together; use fine-tunes of one model, or train the result"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _donor_pairs(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Donor, Donor]]:
    """Yield (donor of the first layer, other donor) for every other donor whose layers the stack uses."""
    names = list(dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds))
    yield from ((donors[names[0]], donors[name]) for name in names[1:])


def _lineage_differences(one: Donor, other: Donor) -> list[str]:
    ours, theirs = (collect_names(donor.architecture, donor.config) for donor in (one, other))
    differences = []
    if one.architecture.name != other.architecture.name:
        differences.append("family")
    if _vocabularies_differ(ours, theirs):
        differences.append("vocabulary")
    bases = (list_rotary_bases(read_rotary_parameters(donor.architecture, donor.config)) for donor in (one, other))
    if next(bases) != next(bases):
        differences.append("rotary base")
    if one.depth != other.depth and not (one.is_stack or other.is_stack):
        differences.append("depth")
    return differences


def _vocabularies_differ(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    sizes = [size for names in (ours, theirs) if isinstance(size := names.get("vocab_size"), int)]
    return len(sizes) == 2 and abs(sizes[0] - sizes[1]) > _MAX_ADDED * max(sizes)


def _join_words(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def lint_vocabularies(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Report each donor whose vocabulary size differs from that of the first layer's donor.

    The report is a warning if the tokenizers seem to be different, and a note if only a few tokens were added.
    """
    for one, other in _donor_pairs(graph, donors):
        ours, theirs = (collect_names(donor.architecture, donor.config) for donor in (one, other))
        sizes = ours.get("vocab_size"), theirs.get("vocab_size")
        if len(_lineage_differences(one, other)) > 1 or None in sizes or sizes[0] == sizes[1]:
            continue
        message = f"vocabularies differ: '{one.name}' has {sizes[0]} tokens, '{other.name}' {sizes[1]}"
        chosen = f"the result gets the tokenizer of '{graph.tokenizer}'"
        if _vocabularies_differ(ours, theirs):
            hint = f"{chosen}; layers of the other donor were trained on other tokens"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
        else:
            hint = f"{chosen}; tokens that only the other donor has are lost"
            yield Problem(message, hint, severity=Severity.NOTE, blame=Blame.DONOR)


def lint_token_ids(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Note donors whose token ids for the beginning or the end of a text differ from those of the tokenizer's donor."""
    chosen = donors[graph.tokenizer]
    ours = collect_names(chosen.architecture, chosen.config)
    for name in dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds):
        theirs = collect_names(donors[name].architecture, donors[name].config)
        for key in _TOKEN_IDS:
            if key in ours and key in theirs and ours[key] != theirs[key]:
                message = f"{key} differs: {ours[key]} in '{chosen.name}', {theirs[key]} in '{name}'"
                hint = f"the result gets that of '{chosen.name}'; `tokenizer: {name}` chooses the other"
                yield Problem(message, hint, severity=Severity.NOTE, blame=Blame.DONOR)


def lint_dtypes(graph: StackGraph, donors: Mapping[str, Donor], spec: StackSpec) -> Iterator[Problem]:
    """Warn if the donors have different element types and the spec does not set one type for the output.

    In GGUF files each tensor has its own type, also when a program has loaded it.
    """
    if spec.output.dtype is not None or donors[graph.template].container == "gguf":
        return
    used = dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds)
    types = {name: _main_dtype(donors[name]) for name in used}
    if any(one != other for one, other in pairwise(types.values())):
        listed = ", ".join(f"'{name}' is {dtype}" for name, dtype in types.items())
        hint = "programs load all tensors in one type anyway: `output: {dtype: bfloat16}` casts them now"
        yield Problem(f"element types differ: {listed}", hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _main_dtype(donor: Donor) -> str:
    """The name of the element type that most elements of a donor's tensors have; "" if the donor has no tensors."""
    counts: dict[str, int] = {}
    for tensor in donor.tensors.values():
        counts[tensor.spec.dtype.label] = counts.get(tensor.spec.dtype.label, 0) + tensor.spec.elements
    return max(counts, key=counts.__getitem__, default="")
