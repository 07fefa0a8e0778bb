"""A language model inside a wrapper, by its own family's file: names and config entries where they are in the wrapper.

Language models that no file describes are for `inference`; what else a wrapper has is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from stacker.arch.conventions import read_conventions
from stacker.arch.families import find_architecture
from stacker.arch.files.architecture import Architecture, Config, Part
from stacker.arch.inference import LayerList, find_layer_lists, find_module_path
from stacker.arch.placement import compile_prefix, replace_expert_number
from stacker.formats.json_object import Json
from stacker.tensors import TensorSpec


def find_wrapped_architecture(config: Config, tensors: Mapping[str, TensorSpec]) -> Architecture | None:
    """The family of a wrapper's language model, called as in these tensors; None where no file describes it."""
    scope, inside = _language_model(config)
    family = find_architecture(inside)
    found = _layers_of(family, tensors) if family else None
    if family is None or found is None:
        return None
    start, rename = find_module_path(found.prefix), _renaming(family, find_module_path(found.prefix), tensors)
    kind = str(config.get("model_type"))
    depth = family.depth.text
    told = depth in inside or depth in config or not depth.isidentifier()
    return replace(
        family,
        model_types=(kind,),
        prefix=found.prefix,
        scope=scope,
        inner=start,
        root="",
        defaults=family.defaults if told else (*family.defaults, (depth, found.count)),
        tensors=tuple(
            each if each.part is Part.LAYER else replace(each, name=rename(each.name)) for each in family.tensors
        ),
        rules=(*family.rules, *read_conventions().around),
        apart=tuple(each if each.startswith("*") else rename(each) for each in family.apart),
        tied=tuple((rename(one), rename(other)) for one, other in family.tied),
        notes=(*family.notes, f"the language model of a '{kind}'; its other parts go with the embedding"),
    )


def _language_model(config: Config) -> tuple[str, Mapping[str, Json]]:
    """Where the language model's entries are, and they; `model_type` says its family, or nothing does."""
    for scope in read_conventions().scopes:
        inner = config.get(scope)
        if isinstance(inner, dict) and "model_type" in inner:
            return scope, inner
    family = dict(read_conventions().flat).get(str(config.get("model_type")))
    return "", {"model_type": family} if family else {}


def _layers_of(family: Architecture, tensors: Mapping[str, TensorSpec]) -> LayerList | None:
    """The layers all of whose tensors the family knows; the most where towers are built like it."""
    known = {each.name for each in family.tensors if each.part is Part.LAYER}
    fitting = [
        found
        for found in find_layer_lists(tensors.values())
        if all({suffix, replace_expert_number(suffix)} & known for suffix in _suffixes(found, tensors))
    ]
    return max(fitting, key=lambda found: found.nbytes, default=None)


def _suffixes(found: LayerList, tensors: Mapping[str, TensorSpec]) -> set[str]:
    pattern = compile_prefix(found.prefix)
    return {match[2] for match in map(pattern.fullmatch, tensors) if match}


def _renaming(family: Architecture, start: str, tensors: Mapping[str, TensorSpec]) -> Callable[[str], str]:
    """The names outside the layers: as they are found where the layers are or further out, or else as they would be."""
    body = find_module_path(family.prefix)
    whole = f".{start}".endswith(f".{body}")
    around = [start[:end] for end in range(len(start), -1, -1) if end == 0 or start[end - 1] == "."]

    def rename(name: str) -> str:
        rest = name.removeprefix(body)
        inside = name.startswith(body)
        absent = start.removesuffix(body) + name if whole else start + rest if inside else name
        return next((place + rest for place in around if place + rest in tensors), absent)

    return rename
