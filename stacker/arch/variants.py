"""Adapts a family's architecture to one checkpoint: one saved as a base model, or one without a head.

The tensor names of a base model lack the module around it: "layers.0…" instead of "model.layers.0…".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Architecture, Config, Part
from stacker.arch.model_kind import states_headless
from stacker.arch.placement import compile_prefix


def adapt_architecture(architecture: Architecture, config: Config, names: Collection[str]) -> Architecture:
    """The architecture with tensor names as in `names`, and without a head if the checkpoint has none."""
    root = _find_left_out(architecture, names)
    named = _remove_root(architecture, root) if root else architecture
    if _lacks_head(named, config, names, base=bool(root)):
        kept = tuple(each for each in named.tensors if each.role != "head" and each.role != "head.bias")
        return replace(named, tensors=kept, tied=())
    return named


def _find_left_out(architecture: Architecture, names: Collection[str]) -> str:
    """The first module in the architecture's tensor names, such as "model.", if `names` leave it out; else ""."""
    root, dot, rest = architecture.prefix.partition(".")
    if not dot or "{i}" in root or any(map(compile_prefix(architecture.prefix).fullmatch, names)):
        return ""
    return f"{root}." if any(map(compile_prefix(rest).fullmatch, names)) else ""


def _remove_root(architecture: Architecture, root: str) -> Architecture:
    def cut(name: str) -> str:
        return name.removeprefix(root)

    return replace(
        architecture,
        prefix=cut(architecture.prefix),
        tensors=tuple(
            each if each.part is Part.LAYER else replace(each, name=cut(each.name)) for each in architecture.tensors
        ),
        tied=tuple((cut(one), cut(other)) for one, other in architecture.tied),
        apart=tuple(map(cut, architecture.apart)),
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
