"""Validates parsed YAML with pydantic, explains errors in the words of the spec language, and keeps what is valid.

This module knows the structure of pydantic's error locations (keys, indices and union tags), but not what specs mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stacker.errors import Problem, SpecError, did_you_mean
from stacker.text.node import Mapping, Node, Plain, Scalar, Sequence, describe, get_child, shorten, to_data

Path = tuple[str | int, ...]
Made = TypeVar("Made")
Given = ParamSpec("Given")
_KINDS = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "list_type": "a list",
    "dict_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
    "float_type": "a number", "tuple_type": "a list",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Advice:
    """What the error messages of a dialect need.

    `shapes` maps union tags and spec keys to their pydantic models, and `examples` maps spec keys to example values.
    `misfit` makes the Problem to report when a value matches no member of a union, and `fillers` are values to assume
    for required keys that are missing, so that the rest of the item can still be read. `renamed` maps keys of other
    dialects to hints.
    """

    shapes: dict[str, type[BaseModel]]
    examples: dict[str, str]
    misfit: Callable[[Path, Node], Problem]
    fillers: dict[str, Plain] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)


def keep_valid(shape: type[BaseModel], root: Mapping, words: Advice) -> tuple[Mapping, list[Problem]]:
    """The part of `root` that fits `shape`, and the problems of all of `root`, explained with `words`.

    What does not fit is cut out, so that it causes no further problems; if nothing fits, the mapping is empty.
    """
    problems: list[Problem] = []
    node: Node = root
    while isinstance(node, Mapping):
        try:
            shape.model_validate(to_data(node))
            return node, problems
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            paths = [find_path(node, detail["loc"]) for detail in details]
            if node is root:
                pairs = zip(details, paths, strict=True)
                problems = [_make_problem(detail, path, root, shape, words) for detail, path in pairs]
            if () in paths:
                break
            node = _mend(node, details, paths, words)
    return Mapping((), root.mark), problems


def attempt(
    problems: list[Problem], parse: Callable[Given, Made], *given: Given.args, **named: Given.kwargs
) -> Made | None:
    """The result of `parse`.

    If `parse` raises SpecError, the result is None, and the error's problems are added to `problems`.
    """
    try:
        return parse(*given, **named)
    except SpecError as error:
        problems.extend(error.problems)
        return None


def find_path(node: Node, location: Iterable[str | int]) -> Path:
    """The keys and indices that lead to the place of a pydantic error in `node`.

    Steps of `location` that do not exist in `node`, such as union tags and missing keys, are left out.
    """
    path: list[str | int] = []
    for step in location:
        below = get_child(node, step)
        if below is not node:
            path.append(step)
            node = below
    return tuple(path)


def _make_problem(detail: ErrorDetails, path: Path, root: Mapping, shape: type[BaseModel], words: Advice) -> Problem:
    node = _find_node(root, path)
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    known = list(_find_shape(detail["loc"][:-1], shape, words).model_fields)
    match detail["type"]:
        case "missing":
            return Problem(f"'{key}' is missing", _advise_missing(key, node, known, words), node.mark)
        case "extra_forbidden":
            holder = _find_node(root, path[:-1])
            mark = holder.key_mark(key) if isinstance(holder, Mapping) else node.mark
            return Problem(f"unknown key '{shorten(key)}'", words.renamed.get(key) or did_you_mean(key, known), mark)
        case "union_tag_not_found":
            return words.misfit(path, node)
        case _:
            return _make_value_problem(detail, find_last_key(path), node, words)


def _make_value_problem(detail: ErrorDetails, key: str, node: Node, words: Advice) -> Problem:
    context: dict[str, Any] = detail.get("ctx", {})
    example = f"for instance: {words.examples[key]}" if key in words.examples else ""
    name, shown = shorten(key), shorten(node.text) if isinstance(node, Scalar) else describe(node)
    match detail["type"]:
        case "too_short" | "too_long":
            return _make_count_problem(context, name, example, node)
        case "greater_than_equal":
            return Problem(f"'{name}' must be at least {context['ge']}, not {shown}", example, node.mark)
        case "greater_than":
            return Problem(f"'{name}' must be greater than {context['gt']:g}, not {shown}", example, node.mark)
        case "finite_number":
            return Problem(f"'{name}' must be a finite number, not {shown}", example, node.mark)
        case "literal_error":
            return Problem(f"'{name}' must be {context['expected']}, not {describe(node)}", example, node.mark)
        case "string_type" if isinstance(node, Scalar) and node.value is not None:
            return Problem(f"'{name}' must be text, not {describe(node)}", f'quote it: "{shown}"', node.mark)
        case kind:
            wanted = _KINDS.get(kind, "something else")
            return Problem(f"'{name}' must be {wanted}, not {describe(node)}", example, node.mark)


def _make_count_problem(context: dict[str, Any], name: str, example: str, node: Node) -> Problem:
    bound = "needs at least" if "min_length" in context else "takes at most"
    count = context.get("min_length", context.get("max_length"))
    entries = "entry" if count == 1 else "entries"
    return Problem(f"'{name}' {bound} {count} {entries}, and has {context['actual_length']}", example, node.mark)


def _find_shape(location: Path, shape: type[BaseModel], words: Advice) -> type[BaseModel]:
    named = (words.shapes[str(step)] for step in reversed(location) if str(step) in words.shapes)
    return next(named, shape)


def _advise_missing(key: str, node: Node, known: list[str], words: Advice) -> str:
    unknown = [name for name in (node.names if isinstance(node, Mapping) else ()) if name not in known]
    meant = next((name for name in unknown if did_you_mean(name, [key]).startswith("did")), None)
    if meant:
        return f"did you mean '{key}' where it says '{shorten(meant)}'?"
    return f"for instance: {words.examples[key]}" if key in words.examples else ""


def _find_node(node: Node, path: Path) -> Node:
    for step in path:
        node = get_child(node, step)
    return node


def find_last_key(path: Path) -> str:
    """The last key on a path of mapping keys and list indices; "" if the path has no key."""
    return next((str(step) for step in reversed(path) if isinstance(step, str)), "")


def _mend(node: Node, details: Iterable[ErrorDetails], paths: Iterable[Path], words: Advice) -> Node:
    """A copy of `node` without the errors `details`, which pydantic found at `paths` in `node`.

    A missing key is added if `words.fillers` has a value for it, and the nodes of all other errors are cut out.
    """
    cuts: list[Path] = []
    for detail, path in zip(details, paths, strict=True):
        key = str(detail["loc"][-1])
        if detail["type"] == "missing" and key in words.fillers:
            node = _add_filler(node, path, key, words.fillers[key])
        else:
            cuts.append(path)
    return _cut_out(node, frozenset(cuts))


def _add_filler(node: Node, path: Path, key: str, value: Plain) -> Node:
    """A copy of `node` in which the mapping at `path` also has the entry `key: value`."""
    match node:
        case Mapping(entries) if not path:
            filler = (Scalar(key, key, node.mark), Scalar(value, str(value), node.mark))
            return Mapping((*entries, filler), node.mark)
        case Mapping(entries):
            return Mapping(
                tuple((k, _add_filler(v, path[1:], key, value) if k.text == path[0] else v) for k, v in entries),
                node.mark,
            )
        case Sequence(items):
            return Sequence(
                tuple(_add_filler(v, path[1:], key, value) if at == path[0] else v for at, v in enumerate(items)),
                node.mark,
            )
        case _:
            return node


def _cut_out(node: Node, paths: frozenset[Path]) -> Node:
    """A copy of `node` without the nodes at `paths`."""
    if not paths:
        return node
    gone = {path[0] for path in paths if len(path) == 1}
    below = {step: frozenset(path[1:] for path in paths if path[0] == step) for step in {path[0] for path in paths}}
    match node:
        case Mapping(entries):
            kept = (
                (key, _cut_out(value, below.get(key.text, frozenset())))
                for key, value in entries
                if key.text not in gone
            )
            return Mapping(tuple(kept), node.mark)
        case Sequence(items):
            left = (_cut_out(item, below.get(at, frozenset())) for at, item in enumerate(items) if at not in gone)
            return Sequence(tuple(left), node.mark)
        case _:
            return node
