"""Describes the language model in a wrapper (a model with further parts, such as a vision tower) by its own family.

Names and config keys are adapted to the wrapper; language models whose family has no file are left to `inference`.
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
    """The architecture of a wrapper's language model, with names as in `tensors`; None if no family file fits it."""
    scope, inside = _find_language_model(config)
    family = find_architecture(inside)
    layers = _find_layers(family, tensors) if family else None
    if family is None or layers is None:
        return None
    start, rename = find_module_path(layers.prefix), _make_rename(family, find_module_path(layers.prefix), tensors)
    kind = str(config.get("model_type"))
    depth = family.depth.text
    known = depth in inside or depth in config or not depth.isidentifier()
    return replace(
        family,
        model_types=(kind,),
        prefix=layers.prefix,
        scope=scope,
        inner=start,
        root="",
        defaults=family.defaults if known else (*family.defaults, (depth, layers.count)),
        tensors=tuple(
            each if each.part is Part.LAYER else replace(each, name=rename(each.name)) for each in family.tensors
        ),
        rules=(*family.rules, *read_conventions().around),
        apart=tuple(each if each.startswith("*") else rename(each) for each in family.apart),
        tied=tuple((rename(one), rename(other)) for one, other in family.tied),
        notes=(*family.notes, f"the language model of a '{kind}'; its other parts go with the embedding"),
    )


def _find_language_model(config: Config) -> tuple[str, Mapping[str, Json]]:
    """The config key of the language model ("" if not nested) and its config, which is empty if its type is unknown."""
    for scope in read_conventions().scopes:
        inner = config.get(scope)
        if isinstance(inner, dict) and "model_type" in inner:
            return scope, inner
    family = dict(read_conventions().flat).get(str(config.get("model_type")))
    return "", {"model_type": family} if family else {}


def _find_layers(family: Architecture, tensors: Mapping[str, TensorSpec]) -> LayerList | None:
    """The list of layers whose tensors are all in the family's file, the largest if several are; None if none is."""
    known = {each.name for each in family.tensors if each.part is Part.LAYER}
    fitting = [
        found
        for found in find_layer_lists(tensors.values())
        if all({suffix, replace_expert_number(suffix)} & known for suffix in _list_suffixes(found, tensors))
    ]
    return max(fitting, key=lambda found: found.nbytes, default=None)


def _list_suffixes(found: LayerList, tensors: Mapping[str, TensorSpec]) -> set[str]:
    pattern = compile_prefix(found.prefix)
    return {match[2] for match in map(pattern.fullmatch, tensors) if match}


def _make_rename(family: Architecture, start: str, tensors: Mapping[str, TensorSpec]) -> Callable[[str], str]:
    """A function that turns the family's name for a tensor outside the layers into its name in the wrapper.

    It looks for the tensor in the language model's module, named by the prefix `start`, then in the modules around it.
    """
    body = find_module_path(family.prefix)
    whole = f".{start}".endswith(f".{body}")
    around = [start[:end] for end in range(len(start), -1, -1) if end == 0 or start[end - 1] == "."]

    def rename(name: str) -> str:
        rest = name.removeprefix(body)
        inside = name.startswith(body)
        absent = start.removesuffix(body) + name if whole else start + rest if inside else name
        return next((place + rest for place in around if place + rest in tensors), absent)

    return rename
