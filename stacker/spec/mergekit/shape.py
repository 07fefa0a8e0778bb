"""Defines the keys and types of a mergekit file, as mergekit 0.1.5 reads it, and warns of keys without effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stacker.errors import Problem, Severity, did_you_mean
from stacker.spec.language.validation import Advice, Path, find_last_key
from stacker.spec.mergekit.methods import Method
from stacker.text.node import Node, Scalar, describe, is_null, list_entries, list_items, shorten


class MergekitShape(BaseModel):
    """The base class of all mappings of a mergekit file. Unknown keys are allowed, as in mergekit."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, defer_build=True)


class SourceIn(MergekitShape):
    """One entry of a slice's `sources`: layers of a model."""

    model: Any
    layer_range: list[int] = Field(min_length=2, max_length=2)
    parameters: dict[str, Any] | None = None


class ModelIn(MergekitShape):
    """One entry of `models`: a whole model."""

    model: Any
    parameters: dict[str, Any] | None = None


class SliceOut(MergekitShape):
    """One entry of `slices`: a slice of the output model."""

    sources: list[SourceIn] = Field(min_length=1)
    base_model: Any = None
    parameters: dict[str, Any] | None = None
    residual_weight: Any = None


class ModuleOut(MergekitShape):
    """One entry of `modules`, with its own `slices` or `models`."""

    slices: list[SliceOut] | None = Field(default=None, min_length=1)
    models: list[ModelIn] | None = Field(default=None, min_length=1)
    parameters: dict[str, Any] | None = None


class MergekitFile(MergekitShape):
    """The top-level mapping of a mergekit file."""

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
    stacker_parameters: Any = None


def _explain_misfit(path: Path, node: Node) -> Problem:
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
    misfit=_explain_misfit,
)  # fmt: skip


_LISTED: dict[str, type[MergekitShape]] = {
    "slices": SliceOut, "models": ModelIn, "modules": ModuleOut, "sources": SourceIn,
}  # fmt: skip
"""Keys whose value is a list or mapping, with the pydantic model for each entry of that list or mapping."""
_WITHOUT_EFFECT = ("residual_weight",)
_REVISION = "write it behind the model: model: org/name@revision"


def check_keys(node: Node, method: Method, shape: type[MergekitShape] = MergekitFile) -> Iterator[Problem]:
    """Yield a warning for each key in `node`, and in the mappings inside it, that has no effect with `method`.

    `shape` is the pydantic model that `node` fits.
    """
    for key, below in list_entries(node):
        name = key.text
        if name not in shape.model_fields or (name in _WITHOUT_EFFECT and not is_null(below)):
            hint = _REVISION if name == "revision" else _find_close(name, shape.model_fields)
            yield _warn(f"'{shorten(name)}' has no effect here", hint, key)
        elif name == "parameters":
            yield from _check_parameters(below, shape, method)
        elif name in _LISTED:
            for entry in (*list_items(below), *(entry for _, entry in list_entries(below))):
                yield from check_keys(entry, method, _LISTED[name])


def _check_parameters(node: Node, shape: type[MergekitShape], method: Method) -> Iterator[Problem]:
    at_source = shape in (SourceIn, ModelIn)
    known = method.per_source if at_source else (*method.per_source, *method.shared)
    for key, _ in list_entries(node):
        if key.text not in (*known, *_UNNEEDED):
            place = " at a source" if at_source and key.text in method.shared else ""
            message = f"'{method.name}' has no parameter '{shorten(key.text)}'{place}; it has no effect"
            yield _warn(message, _find_close(key.text, known), key)


_UNNEEDED = ("int8_mask",)
"""Parameters that say how mergekit computes, but change no result."""


def _find_close(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did") else ""


def _warn(message: str, hint: str, key: Scalar) -> Problem:
    return Problem(message, hint, key.mark, Severity.WARNING)
