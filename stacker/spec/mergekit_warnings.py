"""What a mergekit file says that has no effect: keys and parameters that mergekit passes over in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stacker.errors import Problem, Severity, did_you_mean
from stacker.spec.mergekit_shape import MergekitShape, ModelIn, SourceIn
from stacker.spec.methods import Method
from stacker.text.node import Mapping, Node, child, shorten

_DEAD = ("residual_weight",)


def unknown_keys(shape: MergekitShape, node: Node, method: Method) -> Iterator[Problem]:
    """A warning for each such key of a mapping and of everything below it."""
    known = type(shape).model_fields
    for key in (*(shape.model_extra or {}), *(name for name in _DEAD if getattr(shape, name, None) is not None)):
        yield _warning(f"'{shorten(key)}' has no effect here", _close(key, known), node, key)
    for key in known:
        value, below = getattr(shape, key), child(node, key)
        if key == "parameters" and value:
            yield from _unknown_parameters(value, below, shape, method)
        for step, part in _parts(value):
            yield from unknown_keys(part, child(below, step), method)


def _unknown_parameters(
    names: dict[str, object], node: Node, shape: MergekitShape, method: Method
) -> Iterator[Problem]:
    at_source = isinstance(shape, SourceIn | ModelIn)
    known = method.per_source if at_source else (*method.per_source, *method.shared)
    for name in names:
        if name not in known:
            place = " at a source" if at_source and name in method.shared else ""
            message = f"'{method.name}' has no parameter '{shorten(name)}'{place}; it has no effect"
            yield _warning(message, _close(name, known), node, name)


def _parts(value: object) -> Iterator[tuple[str | int, MergekitShape]]:
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, part in pairs:
        if isinstance(part, MergekitShape):
            yield step, part


def _close(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did") else ""


def _warning(message: str, hint: str, node: Node, key: str) -> Problem:
    mark = node.key_mark(key) if isinstance(node, Mapping) else node.mark
    return Problem(message, hint, mark, Severity.WARNING)
