"""Reads the donors of a native spec, with their adapters and the parameters of their specs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stacker.errors import Problem
from stacker.spec.language.slice_grammar import NAME
from stacker.spec.language.stack_spec import AdapterSpec, DonorSpec
from stacker.spec.language.validation import attempt
from stacker.spec.language.value_grammar import parse_source
from stacker.spec.parameters.space import ParameterValue
from stacker.text.node import (
    Mapping,
    Node,
    Scalar,
    describe,
    get_child,
    get_text,
    list_entries,
    list_items,
    shorten,
)

Problems = list[Problem]


def parse_donors(node: Node | None, written: Node | None, problems: Problems) -> tuple[DonorSpec, ...]:
    """The donors in `node`, and the names of donors that were cut out of it for a problem but are in `written`."""
    donors = {key.text: _parse_donor(key.text, below, problems) for key, below in list_entries(node)}
    keys = [key for key, _ in list_entries(written)]
    for key in keys:
        if not NAME.fullmatch(key.text):
            hint = "use letters, digits, '_', '-' and '.'; the hub id or folder is the value: short-name: org/name"
            problems.append(Problem(f"'{shorten(key.text)}' cannot be a donor's name", hint, key.mark))
    # A donor that was cut out for a reported problem keeps its name, so that its uses are not reported as unknown.
    return (*donors.values(), *(DonorSpec(key.text) for key in keys if key.text not in donors))


def _parse_donor(name: str, node: Node, problems: Problems) -> DonorSpec:
    if isinstance(node, Scalar):
        return attempt(problems, parse_source, name, node.text, node.mark) or DonorSpec(name)
    adapters = _parse_adapters(name, node, problems)
    return replace(_parse_bare_donor(name, node, problems), adapters=adapters)


def _parse_bare_donor(name: str, node: Node, problems: Problems) -> DonorSpec:
    written = node.get("parameters") if isinstance(node, Mapping) else None
    source, revision, like, stack = (get_text(node, key) for key in ("source", "revision", "like", "stack"))
    if (source is None) == (stack is None):
        hint = "source: a folder or hub id; stack: another spec file whose result is the donor"
        problems.append(Problem(f"donor '{shorten(name)}' needs one of 'source' and 'stack'", hint, node.mark))
        return DonorSpec(name)
    if source is None:
        if revision is not None:
            mark = get_child(node, "revision").mark
            problems.append(Problem("'revision' belongs to a hub id, not to a stack", "", mark))
        given = tuple(_parse_given(written, problems))
        return DonorSpec(name, like=like, stack=stack, parameters=given, mark=node.mark)
    if written is not None:
        problems.append(Problem("'parameters' belongs to a donor with 'stack'", "a source has none", written.mark))
    donor = attempt(problems, parse_source, name, source, get_child(node, "source").mark) or DonorSpec(name)
    if donor.revision and revision is not None:
        problems.append(Problem("the revision is given twice", "after '@' or as 'revision', not both", node.mark))
    return DonorSpec(name, donor.source, donor.revision or revision, like, mark=node.mark)


def _parse_adapters(name: str, node: Node, problems: Problems) -> tuple[AdapterSpec, ...]:
    below = get_child(node, "adapters")
    parsed = () if below is node else (_parse_adapter(name, each, problems) for each in list_items(below))
    return tuple(adapter for adapter in parsed if adapter is not None)


def _parse_adapter(name: str, node: Node, problems: Problems) -> AdapterSpec | None:
    place = node if isinstance(node, Scalar) else get_child(node, "source")
    source = attempt(
        problems, parse_source, f"{name}'s adapter", place.text if isinstance(place, Scalar) else "", place.mark
    )
    if source is None:
        return None
    revision = get_text(node, "revision") if isinstance(node, Mapping) else None
    if source.revision and revision is not None:
        problems.append(Problem("the revision is given twice", "after '@' or as 'revision', not both", node.mark))
    weight = get_child(node, "weight") if isinstance(node, Mapping) else node
    number = weight.value if isinstance(weight, Scalar) and weight is not node else None
    factor = float(number) if isinstance(number, int | float) else 1.0
    return AdapterSpec(str(source.source), source.revision or revision, factor, node.mark)


def _parse_given(node: Node | None, problems: Problems) -> Iterator[tuple[str, ParameterValue]]:
    """The values that a donor gives to the parameters of its spec; they are checked when that spec is read."""
    for key, below in list_entries(node):
        if isinstance(below, Scalar) and below.value is not None:
            yield key.text, below.value
        else:
            message = f"parameter '{shorten(key.text)}' cannot be {describe(below)}"
            problems.append(Problem(message, "write a number or a word", below.mark))
