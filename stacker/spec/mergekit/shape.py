"""The shape of a mergekit file, as mergekit 0.1.5 reads it; keys it does not know are kept, to be warned of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stacker.errors import Problem
from stacker.spec.language.shape_problems import Path, Vocabulary, last_key
from stacker.text.node import Node, describe, shorten


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
    return Problem(f"'{shorten(last_key(path))}' cannot be {describe(node)}", "", node.mark)


WORDS = Vocabulary(
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
