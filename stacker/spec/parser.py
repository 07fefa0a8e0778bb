"""Parses a spec in the native or the mergekit dialect, and raises all problems of a text together."""

from __future__ import annotations

import dataclasses
import re
from pathlib import PurePath

from stacker.errors import Mark, Problem, Severity, SpecError, did_you_mean, raise_problems
from stacker.spec.language.checks import check_spec
from stacker.spec.language.stack_spec import Dialect, StackSpec
from stacker.spec.mergekit.reader import parse_mergekit
from stacker.spec.mergekit.stages import check_characters, is_staged, parse_stages
from stacker.spec.native.reader import parse_native
from stacker.text.node import Mapping, Node, describe
from stacker.text.yaml import read_documents, take_only_document

_HINT = "a spec begins with 'stacker: 1'; a mergekit file has 'merge_method'"


def parse_spec(text: str | bytes, source: str) -> StackSpec:
    """Parse native or mergekit text; `source` is the text's name in messages, and names a spec that has no `name`.

    Raises SpecError with all problems if any of them is an error; mere warnings go to `StackSpec.warnings`.
    """
    documents = read_documents(text, source)
    if len(documents) > 1 and is_staged(documents[0]):
        spec, problems = parse_stages(documents, make_default_name(source))
    else:
        spec, problems = _parse_one(take_only_document(documents, source), make_default_name(source))
    problems = sorted(dict.fromkeys((*problems, *check_spec(spec))), key=_sort_key)
    raise_problems(problems)
    return dataclasses.replace(spec, warnings=tuple(problems))


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


def _sort_key(problem: Problem) -> tuple[int, int, int]:
    mark = problem.mark or Mark("")
    return (problem.severity is not Severity.ERROR, mark.line or 0, mark.column or 0)
