"""Finds the architecture of the language model in a wrapper (a model with, for example, a vision tower).

The architecture comes from the file of the language model's family, with tensor names and config keys changed to those
of the wrapper. If there is no such file, `inference` infers the architecture.
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
    """The architecture of a wrapper's language model, with tensor names as in `tensors`.

    None if no architecture file lists the language model's type, or no modules in `tensors` match the file's layers.
    """
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
        defaults=family.defaults if known else (*family.defaults, (depth, layers.count)),
        tensors=tuple(
            each if each.part is Part.LAYER else replace(each, name=rename(each.name)) for each in family.tensors
        ),
        rules=(*family.rules, *read_conventions().around),
        no_hop=(*family.no_hop, *read_conventions().no_hop),
        apart=tuple(each if each.startswith("*") else rename(each) for each in family.apart),
        tied=tuple((rename(one), rename(other)) for one, other in family.tied),
        notes=(*family.notes, f"the language model of a '{kind}'; its other parts go with the embedding"),
    )


def _find_language_model(config: Config) -> tuple[str, Mapping[str, Json]]:
    """The config key under which the language model's config is nested ("" if not nested), and that config.

    The config is empty if the model type of the language model is unknown.
    """
    for scope in read_conventions().scopes:
        inner = config.get(scope)
        if isinstance(inner, dict) and "model_type" in inner:
            return scope, inner
    family = dict(read_conventions().flat).get(str(config.get("model_type")))
    return "", {"model_type": family} if family else {}


def _find_layers(family: Architecture, tensors: Mapping[str, TensorSpec]) -> LayerList | None:
    """The list of modules whose tensors are all among the layer tensors of the family; None if there is no such list.

    Of several such lists, the one with the most bytes is returned.
    """
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
    """Return a function that converts a name in the family's architecture file to the tensor's name in the wrapper.

    The function is for tensors outside the layers. It looks first in the module that contains the layers, whose name
    prefix is `start`, then in the modules around that module.
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
