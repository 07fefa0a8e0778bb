"""Lints of donors against each other: whether they grew from one model, speak one vocabulary, have one element type.

Decided by configs and headers; what `agreement` warns of is not said twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from stacker.arch.dimensions import names_in
from stacker.core.config.agreement import rotary_parameters
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, Severity
from stacker.spec.language.stack_spec import StackSpec

_ADDED = 0.01
"""The share of a vocabulary that fine-tunes add to it at the most; more is another tokenizer."""
_IDS = ("bos_token_id", "eos_token_id")


def lint_lineage(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Donors that differ in several things which fine-tuning leaves alone were not trained from common weights."""
    for one, other in _met(graph, donors):
        signs = _signs(one, other)
        if len(signs) > 1:
            message = f"'{one.name}' and '{other.name}' seem of different lineage: they differ in {_listed(signs)}"
            hint = "layers of models without common weights share no coordinates; take fine-tunes of one, or train it"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _met(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Donor, Donor]]:
    """The first donor of a layer with each of the others."""
    names = list(dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds))
    yield from ((donors[names[0]], donors[name]) for name in names[1:])


def _signs(one: Donor, other: Donor) -> list[str]:
    here, there = (names_in(donor.architecture, donor.config) for donor in (one, other))
    found = []
    if one.architecture.name != other.architecture.name:
        found.append("family")
    if _vocabularies_differ(here, there):
        found.append("vocabulary")
    if rotary_parameters(here).get("rope_theta") != rotary_parameters(there).get("rope_theta"):
        found.append("rotary base")
    if one.depth != other.depth and not (one.nested or other.nested):
        found.append("depth")
    return found


def _vocabularies_differ(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    sizes = [size for names in (here, there) if isinstance(size := names.get("vocab_size"), int)]
    return len(sizes) == 2 and abs(sizes[0] - sizes[1]) > _ADDED * max(sizes)


def _listed(words: list[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def lint_vocabularies(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Donors with vocabularies of other sizes have other tokenizers, or added tokens to a common one."""
    for one, other in _met(graph, donors):
        here, there = (names_in(donor.architecture, donor.config) for donor in (one, other))
        sizes = here.get("vocab_size"), there.get("vocab_size")
        if len(_signs(one, other)) > 1 or None in sizes or sizes[0] == sizes[1]:
            continue
        message = f"vocabularies differ: '{one.name}' has {sizes[0]} tokens, '{other.name}' {sizes[1]}"
        taken = f"the result has the tokenizer of '{graph.tokenizer}'"
        if _vocabularies_differ(here, there):
            hint = f"{taken}; layers of the other learnt from other tokens"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
        else:
            hint = f"{taken}; tokens that only the other has are lost"
            yield Problem(message, hint, severity=Severity.NOTE, blame=Blame.DONOR)


def lint_token_ids(graph: StackGraph, donors: Mapping[str, Donor], _: StackSpec) -> Iterator[Problem]:
    """Fine-tunes that begin or end their turns with other tokens than the tokenizer that the result gets."""
    chosen = donors[graph.tokenizer]
    here = names_in(chosen.architecture, chosen.config)
    for name in dict.fromkeys(feed.donor for node in graph.layers for feed in node.feeds):
        there = names_in(donors[name].architecture, donors[name].config)
        for key in _IDS:
            if key in here and key in there and here[key] != there[key]:
                message = f"{key} differs: {here[key]} in '{chosen.name}', {there[key]} in '{name}'"
                hint = f"the result has that of '{chosen.name}'; `tokenizer: {name}` takes the other"
                yield Problem(message, hint, severity=Severity.NOTE, blame=Blame.DONOR)


def lint_dtypes(graph: StackGraph, donors: Mapping[str, Donor], spec: StackSpec) -> Iterator[Problem]:
    """Donors of several element types make a checkpoint of several, which programs cast as they load it."""
    if spec.output.dtype is not None:
        return
    used = dict.fromkeys(feed.donor for node in graph.nodes for feed in node.feeds)
    types = {name: _dtype(donors[name]) for name in used}
    if any(one != other for one, other in pairwise(types.values())):
        said = ", ".join(f"'{name}' is {dtype}" for name, dtype in types.items())
        hint = "programs load it in one type all the same: `output: {dtype: bfloat16}` casts it once and for all"
        yield Problem(f"element types differ: {said}", hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _dtype(donor: Donor) -> str:
    """The element type of most of a donor's numbers."""
    counts: dict[str, int] = {}
    for tensor in donor.tensors.values():
        counts[tensor.spec.dtype.label] = counts.get(tensor.spec.dtype.label, 0) + tensor.spec.elements
    return max(counts, key=counts.__getitem__, default="")
