"""Adapts a family's architecture to one checkpoint: a base model, one of another class, or one without a head.

The tensor names of a base model lack the module around it: "layers.0…" instead of "model.layers.0…". Some classes call
that module differently: "transformer.layers.0…".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Architecture, Config, Part
from stacker.arch.model_kind import states_headless
from stacker.arch.placement import compile_prefix

_ROOTS = ("model", "transformer", "base_model", "backbone")
"""What classes of transformers call the module around the layers, besides the name in the architecture."""


def adapt_architecture(architecture: Architecture, config: Config, names: Collection[str]) -> Architecture:
    """The architecture with tensor names as in `names`, and without a head if the checkpoint has none."""
    root = _find_root(architecture, names)
    named = architecture if root is None else _replace_root(architecture, root)
    if _lacks_head(named, config, names, base=root == ""):
        kept = tuple(each for each in named.tensors if each.role != "head" and each.role != "head.bias")
        return replace(named, tensors=kept, tied=())
    return named


def _find_root(architecture: Architecture, names: Collection[str]) -> str | None:
    """What stands in `names` in place of the first module of the architecture's names, such as "" or "transformer.".

    None if that module is there, or if the layers are called otherwise.
    """
    root, dot, rest = architecture.prefix.partition(".")
    if not dot or "{i}" in root or any(map(compile_prefix(architecture.prefix).fullmatch, names)):
        return None
    choices = ("", *(f"{name}." for name in _ROOTS))
    return next((each for each in choices if any(map(compile_prefix(each + rest).fullmatch, names))), None)


def _replace_root(architecture: Architecture, new: str) -> Architecture:
    old = architecture.prefix.partition(".")[0] + "."

    def rename(name: str) -> str:
        return new + name.removeprefix(old) if name.startswith(old) else name

    return replace(
        architecture,
        prefix=rename(architecture.prefix),
        tensors=tuple(
            each if each.part is Part.LAYER else replace(each, name=rename(each.name)) for each in architecture.tensors
        ),
        tied=tuple((rename(one), rename(other)) for one, other in architecture.tied),
        apart=tuple(map(rename, architecture.apart)),
    )


def _lacks_head(architecture: Architecture, config: Config, names: Collection[str], *, base: bool) -> bool:
    """Whether there is no head, neither stored nor tied; `base` says that the tensors are named as in a base model.

    The class in `architectures` decides, except that a base model whose head is neither stored nor tied never has one.
    If no class is named, the head is missing if it is not tied, and the names are those of a base model or include the
    head of a classifier or a reward model.
    """
    heads = {each.name for each in architecture.tensors if each.role == "head"}
    if not heads or heads & set(names):
        return False
    tied = bool(collect_names(architecture, config).get("tie_word_embeddings"))
    stated = states_headless(config)
    if stated is None:
        return not tied and (base or any(map(_is_task_head, names)))
    return stated or (base and not tied)


def _is_task_head(name: str) -> bool:
    """Whether a tensor is that of a classifier or a reward head, by its name."""
    return name.split(".")[0] in ("score", "classifier", "v_head", "value_head", "reward_head", "qa_outputs")
