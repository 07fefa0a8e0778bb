"""Reads mergekit files of several YAML documents, where a document can use earlier documents' results as models.

The last document is the result, and each earlier document that it uses becomes a donor, without being written as a
checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stacker.errors import Problem, Severity
from stacker.spec.language.checks import check_spec
from stacker.spec.language.stack_spec import StackSpec
from stacker.spec.mergekit.reader import parse_mergekit
from stacker.text.node import Mapping, Node, Scalar, describe, get_child, is_null, shorten, walk_scalars

_NAME = "name: first-stage; a later document names it as a model"
_METHOD = "merge_method"


def is_staged(document: Node) -> bool:
    """Whether `document`, the first YAML document of a text, is a mergekit file, which always has a `merge_method`.

    Only in mergekit's dialect can a text have several documents, whose models later documents can use.
    """
    return isinstance(document, Mapping) and _METHOD in document.names


def parse_stages(documents: Sequence[Node], name: str) -> tuple[StackSpec, list[Problem]]:
    """The spec of the last document, and the problems of all documents.

    Earlier documents that the last one uses as models are donors of the spec; `name` is the spec's name if the last
    document has no `name`.
    """
    problems: list[Problem] = []
    stages: dict[str, StackSpec] = {}
    used: set[str] = set()
    roots = [document for document in documents if not is_null(document)]
    spec = StackSpec(name, (), ())
    for number, root in enumerate(roots, start=1):
        last = number == len(roots)
        if not isinstance(root, Mapping) or _METHOD not in root.names:
            shown = describe(root) if not isinstance(root, Mapping) else "one without 'merge_method'"
            problems.append(Problem(f"each document is a mergekit file, this is {shown}", "", root.mark))
            continue
        problems += check_characters(root)
        spec, own_problems = parse_mergekit(root, name, stages)
        problems += own_problems
        problems += _check_name(root, stages, last=last)
        used |= {str(donor.stack) for donor in spec.donors if donor.stage}
        if not last:
            problems += check_spec(spec)
            stages[spec.name] = spec
    problems += (_warn_unused(stages[stage]) for stage in stages if stage not in used)
    return spec, problems


def check_characters(root: Node) -> Iterator[Problem]:
    """Yield a problem for each scalar with an invisible character, which could hide or change text in a terminal."""
    for scalar, is_key in walk_scalars(root):
        allowed = "" if is_key else "\n\t"
        chars = "" if scalar.text.isprintable() else scalar.text
        hidden = next((char for char in chars if not char.isprintable() and char not in allowed), None)
        if hidden:
            yield Problem(f"this text has the invisible character U+{ord(hidden):04X}", "remove it", scalar.mark)


def _check_name(root: Mapping, stages: dict[str, StackSpec], *, last: bool) -> Iterator[Problem]:
    name = get_child(root, "name")
    if name is root or is_null(name):
        if not last:
            yield Problem("a document before the last has no 'name', so that nothing can use it", _NAME, root.mark)
    elif isinstance(name, Scalar) and name.text in stages:
        yield Problem(f"two documents are called '{shorten(name.text)}'", "give each its own name", name.mark)


def _warn_unused(spec: StackSpec) -> Problem:
    message = f"no later document uses '{shorten(spec.name)}'; only the last document is built"
    return Problem(message, "", spec.mark_of("name"), Severity.WARNING)
