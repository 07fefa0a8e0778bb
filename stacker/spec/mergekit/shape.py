"""The shape of a mergekit file, as mergekit 0.1.5 reads it; keys it does not know are kept, to be warned of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stacker.errors import Problem, Severity, did_you_mean
from stacker.spec.language.validation import Advice, Path, find_last_key
from stacker.spec.mergekit.methods import Method
from stacker.text.node import Mapping, Node, describe, get_child, shorten


class MergekitShape(BaseModel):
    """A mapping of a mergekit file; further keys are allowed, as mergekit allows them."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)


class SourceIn(MergekitShape):
    """One source of an output slice."""

    model: Any
    layer_range: list[int] = Field(min_length=2, max_length=2)
    parameters: dict[str, Any] | None = None


class ModelIn(MergekitShape):
    """One entry of `models`: a whole model."""

    model: Any
    parameters: dict[str, Any] | None = None


class SliceOut(MergekitShape):
    """One run of output layers."""

    sources: list[SourceIn] = Field(min_length=1)
    base_model: Any = None
    parameters: dict[str, Any] | None = None
    residual_weight: Any = None


class ModuleOut(MergekitShape):
    """One entry of `modules`."""

    slices: list[SliceOut] | None = Field(default=None, min_length=1)
    models: list[ModelIn] | None = Field(default=None, min_length=1)
    parameters: dict[str, Any] | None = None


class MergekitFile(MergekitShape):
    """The whole file."""

    merge_method: str = ""
    slices: list[SliceOut] | None = Field(default=None, min_length=1)
    models: list[ModelIn] | None = Field(default=None, min_length=1)
    modules: dict[str, ModuleOut] | None = Field(default=None, min_length=1)
    base_model: Any = None
    dtype: str | None = None
    out_dtype: str | None = None
    parameters: dict[str, Any] | None = None
    tokenizer_source: Any = None
    tokenizer: Any = None
    chat_template: Any = None
    name: str | None = None


def _misfit(path: Path, node: Node) -> Problem:
    return Problem(f"'{shorten(find_last_key(path))}' cannot be {describe(node)}", "", node.mark)


ADVICE = Advice(
    shapes={},
    examples={
        "merge_method": "merge_method: passthrough",
        "sources": "sources: then '- model: org/name' and 'layer_range: [0, 16]'",
        "layer_range": "layer_range: [0, 16]", "model": "model: org/name", "dtype": "dtype: bfloat16",
        "parameters": "parameters: {t: 0.5}", "slices": "slices: then '- sources:'",
        "models": "models: then '- model: org/name'",
    },
    misfit=_misfit,
)  # fmt: skip


_DEAD = ("residual_weight",)


def check_keys(shape: MergekitShape, node: Node, method: Method) -> Iterator[Problem]:
    """A warning for each such key of a mapping and of everything below it."""
    known = type(shape).model_fields
    for key in (*(shape.model_extra or {}), *(name for name in _DEAD if getattr(shape, name, None) is not None)):
        yield _warning(f"'{shorten(key)}' has no effect here", _close(key, known), node, key)
    for key in known:
        value, below = getattr(shape, key), get_child(node, key)
        if key == "parameters" and value:
            yield from _unknown_parameters(value, below, shape, method)
        for step, part in _parts(value):
            yield from check_keys(part, get_child(below, step), method)


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
