"""Text in, StackSpec out, whichever dialect: read this first. All problems of a text are raised as one SpecError."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import PurePath

from stacker.errors import Mark, Problem, Severity, SpecError, did_you_mean, raise_problems
from stacker.spec.checks import check_spec
from stacker.spec.mergekit import parse_mergekit
from stacker.spec.model import Dialect, StackSpec
from stacker.spec.native import parse_native
from stacker.text.node import Mapping, describe, scalars
from stacker.text.yaml import read_yaml

_HINT = "a spec begins with 'stacker: 1'; a mergekit file has 'merge_method'"


def parse_spec(text: str | bytes, source: str) -> StackSpec:
    """The spec that a text says, native or mergekit's; `source` stands in messages and gives the default name.

    Raises SpecError with every problem of the text; warnings are left in `StackSpec.warnings`.
    """
    root = read_yaml(text, source)
    if not isinstance(root, Mapping):
        raise SpecError.of(f"a spec is a mapping of keys to values, not {describe(root)}", _HINT, root.mark)
    raise_problems(dict.fromkeys(_check_characters(root)))
    parse = parse_mergekit if dialect_of(root) is Dialect.MERGEKIT else parse_native
    spec, found = parse(root, default_name(source))
    problems = sorted(dict.fromkeys((*found, *check_spec(spec))), key=_place)
    raise_problems(problems)
    return dataclasses.replace(spec, warnings=tuple(problems))


def dialect_of(root: Mapping) -> Dialect:
    """Which language a text is in; SpecError when its keys say neither, or both."""
    keys = root.names
    if "merge_method" in keys and "stacker" in keys:
        hint = "keep 'stacker' for a native spec, 'merge_method' for mergekit's"
        raise SpecError.of("both 'stacker' and 'merge_method' stand here", hint, root.key_mark("merge_method"))
    if "merge_method" in keys:
        return Dialect.MERGEKIT
    if not {"stacker", "stack", "donors"} & set(keys):
        meant = next(
            (hint for key in keys if (hint := did_you_mean(key, ["stacker", "merge_method"]))[:3] == "did"), ""
        )
        raise SpecError.of(
            "this is no spec: neither 'stacker' nor 'merge_method' stands here", meant or _HINT, root.mark
        )
    return Dialect.NATIVE


def default_name(source: str) -> str:
    """The name of a spec that gives none: that of its file, made safe."""
    stem = PurePath(source).name.removesuffix(".yml").removesuffix(".yaml")
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:200] or "stack"


def _check_characters(root: Mapping) -> Iterator[Problem]:
    """Characters that nobody sees, or that change how a terminal shows what follows, have no place in a spec."""
    for scalar, is_key in scalars(root):
        allowed = "" if is_key else "\n\t"
        hidden = next((char for char in scalar.text if not char.isprintable() and char not in allowed), None)
        if hidden:
            yield Problem(f"this text has the invisible character U+{ord(hidden):04X}", "remove it", scalar.mark)


def _place(problem: Problem) -> tuple[int, int, int]:
    mark = problem.mark or Mark("")
    return (problem.severity is not Severity.ERROR, mark.line or 0, mark.column or 0)
