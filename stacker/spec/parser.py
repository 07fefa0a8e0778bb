"""Parses a spec in the native or the mergekit dialect, and raises all problems of a text together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Mapping as Table
from pathlib import PurePath
from types import MappingProxyType

from stacker.errors import Problem, SpecError, did_you_mean, raise_problems, sort_problems
from stacker.spec.language.checks import check_spec
from stacker.spec.language.stack_spec import Dialect, StackSpec
from stacker.spec.mergekit.reader import parse_mergekit
from stacker.spec.mergekit.stages import check_characters, is_staged, parse_stages
from stacker.spec.native.reader import parse_native
from stacker.spec.parameters.filling import fill_values, write_value
from stacker.spec.parameters.space import SpecParameter, list_set
from stacker.spec.parameters.substitution import Substituted, substitute
from stacker.text.decoding import decode_text
from stacker.text.node import Mapping, Node, describe
from stacker.text.yaml import read_documents, take_only_document

_HINT = "a spec begins with 'stacker: 1'; a mergekit file has 'merge_method'"
NOTHING_GIVEN: Table[str, object] = MappingProxyType({})


def parse_spec(text: str | bytes, source: str, given: Table[str, object] = NOTHING_GIVEN) -> StackSpec:
    """Parse native or mergekit text; `source` is the text's name in messages, and names a spec that has no `name`.

    `given` has values of the spec's parameters by name, used instead of those in the text. Raises SpecError with all
    problems if any of them is an error; mere warnings go to `StackSpec.problems`.
    """
    spec = read_spec(text, source, given)
    raise_problems(spec.problems)
    return spec


def read_spec(text: str | bytes, source: str, given: Table[str, object] = NOTHING_GIVEN) -> StackSpec:
    """What can be understood of a text, as `parse_spec` does; all errors and warnings go to `StackSpec.problems`.

    SpecError only if nothing of the text can be understood.
    """
    found = substitute(read_documents(text, source), given)
    try:
        spec, problems = _parse_documents(found.documents, source)
    except SpecError as error:
        raise SpecError(*_join_problems(found, error.problems)) from error
    problems = _join_problems(found, (*problems, *check_spec(spec)))
    return dataclasses.replace(spec, parameters=found.parameters, problems=tuple(problems))


def list_parameters(text: str | bytes, source: str) -> tuple[SpecParameter, ...]:
    """The parameters that a text declares, whether or not the rest of the text is a valid spec."""
    return substitute(read_documents(text, source), NOTHING_GIVEN).parameters


def write_parameters(text: bytes, spec: StackSpec) -> bytes:
    """The text of `spec` with the values that were set from outside in its declarations; the rest of the text is kept.

    SpecError if a value cannot be replaced, because it is an alias, or other places refer to it.
    """
    values = list_set(spec.parameters)
    if not values:
        return text
    filled = fill_values(decode_text(text, spec.source), values)
    try:
        same = parse_spec(filled, spec.source) == parse_spec(text, spec.source, values)
    except SpecError:
        same = False
    if not same:
        message = "the values of the parameters cannot be written into this spec, because an anchor or alias is there"
        marks = (each.mark for each in spec.parameters if each.is_set)
        raise SpecError.of(message, "declare the parameters without & and *", next(marks, None))
    return filled.encode()


def write_name(text: bytes, spec: StackSpec) -> bytes:
    """A native text with the name of its `spec` below its first key if it has none, so that a copy keeps the name.

    A text of one line in braces is returned unchanged.
    """
    marks = dict(spec.marks)
    begin = marks.get("stacker")
    if "name" in marks or begin is None or begin.line is None or begin.column != 1:
        return text
    lines = decode_text(text, spec.source).splitlines(keepends=True)
    return "".join((*lines[: begin.line], f"name: {write_value(spec.name)}\n", *lines[begin.line :])).encode()


def _parse_documents(documents: tuple[Node, ...], source: str) -> tuple[StackSpec, list[Problem]]:
    if len(documents) > 1 and is_staged(documents[0]):
        return parse_stages(documents, make_default_name(source))
    return _parse_one(take_only_document(documents, source), make_default_name(source))


def _join_problems(found: Substituted, problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a text in order, without those of places where no value could be put in."""
    kept = (problem for problem in problems if problem.mark not in found.broken)
    return sort_problems((*found.problems, *kept))


def _parse_one(root: Node, name: str) -> tuple[StackSpec, list[Problem]]:
    if not isinstance(root, Mapping):
        raise SpecError.of(f"a spec is a mapping of keys to values, not {describe(root)}", _HINT, root.mark)
    raise_problems(dict.fromkeys(check_characters(root)))
    parse = parse_mergekit if find_dialect(root) is Dialect.MERGEKIT else parse_native
    return parse(root, name)


def find_dialect(root: Mapping) -> Dialect:
    """The dialect of a text, found by its top-level keys; SpecError if the keys fit no dialect or both dialects."""
    keys = root.names
    if "merge_method" in keys and "stacker" in keys:
        hint = "keep 'stacker' for a native spec, 'merge_method' for mergekit's"
        raise SpecError.of("the text has both 'stacker' and 'merge_method'", hint, root.key_mark("merge_method"))
    if "merge_method" in keys:
        return Dialect.MERGEKIT
    if {"experts", "base_model"} <= set(keys):
        hint = "build the mixture with mergekit-moe, and name the result as a donor"
        raise SpecError.of("this is a mergekit-moe file, which stacker does not build", hint, root.key_mark("experts"))
    if not {"stacker", "stack", "donors"} & set(keys):
        meant = next(
            (hint for key in keys if (hint := did_you_mean(key, ["stacker", "merge_method"]))[:3] == "did"), ""
        )
        raise SpecError.of("this is not a spec: it has neither 'stacker' nor 'merge_method'", meant or _HINT, root.mark)
    return Dialect.NATIVE


def make_default_name(source: str) -> str:
    """A name for a spec without `name`: the file name at the end of `source`, without .yml or .yaml.

    Characters other than letters, digits, `.`, `_` and `-` are replaced by `-`.
    """
    stem = PurePath(source).name.removesuffix(".yml").removesuffix(".yaml")
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:200] or "stack"
