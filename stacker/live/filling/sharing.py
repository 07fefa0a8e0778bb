"""Lets layers of a model share parameters: those that are made of equal weights become one Parameter.

Layers stay separate modules, because each needs its own number and its own place in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stacker.arch.placement import TensorPlacement
from stacker.live.filling.names import Sources
from stacker.live.filling.weights import Weights
from stacker.live.forecast.weight_keys import WeightKey

Parameters = Mapping["ParameterKey", torch.nn.Parameter]
"""Parameters that are in memory, by what they are made of."""


@dataclass(frozen=True, slots=True)
class ParameterKey:
    """What a parameter is made of: parameters with equal keys have equal values, in one model or in several.

    `name` is the parameter's name without the number of its layer, and `shape` its shape. `sources` pairs the
    checkpoint's tensors, also without layer numbers, with what identifies their values.
    """

    name: str
    shape: tuple[int, ...]
    sources: frozenset[tuple[str, WeightKey]]


@dataclass(frozen=True, slots=True)
class Division:
    """How a model's parameters are loaded: `keys` has the key of each parameter in the layers, by its name in memory.

    `needed` are the names of the checkpoint's tensors that must be read.
    """

    keys: Mapping[str, ParameterKey]
    needed: tuple[str, ...]


def divide_parameters(
    model: Any, sources: Sources, weights: Weights, placements: Mapping[str, TensorPlacement], present: Parameters
) -> Division:
    """Find the keys of all parameters of `model`, and which of the checkpoint's tensors have to be read for them.

    Parameters in `present`, and those equal to a parameter that comes before them, need no tensors.
    """
    own = {name: each for name, each in model.named_parameters(remove_duplicate=False) if name in sources}
    keys = {name: _make_key(name, tuple(own[name].shape), sources[name], weights, placements) for name in own}
    seen = set(present)
    satisfied = set()
    for name, key in keys.items():
        if key in seen:
            satisfied.add(name)
        seen.add(key)
    unsatisfied = {source for name, found in sources.items() if name not in satisfied for source in found}
    known = {source for found in sources.values() for source in found}
    needed = tuple(name for name in weights.steps if name in unsatisfied or name not in known)
    return Division(keys, needed)


def _make_key(
    name: str,
    shape: tuple[int, ...],
    sources: Iterable[str],
    weights: Weights,
    placements: Mapping[str, TensorPlacement],
) -> ParameterKey:
    layers = {placements[source].layer for source in sources}
    layer = layers.pop() if len(layers) == 1 else None
    shown = name if layer is None else _number_of(layer).sub("{i}", name, count=1)
    return ParameterKey(
        shown, shape, frozenset((placements[each].suffix or each, weights.keys[each]) for each in sources)
    )


def _number_of(layer: int) -> re.Pattern[str]:
    return re.compile(rf"(?<=\.){layer}(?=\.)")


def find_layer_list(sources: Sources, placements: Mapping[str, TensorPlacement]) -> str:
    """The name of the module list that holds the layers, such as `model.layers`; "" if no tensor is in a layer."""
    for name, found in sources.items():
        layers = {placements[source].layer for source in found}
        layer = layers.pop() if len(layers) == 1 else None
        match = None if layer is None else _number_of(layer).search(name)
        if match:
            return name[: match.start() - 1]
    return ""


def share_parameters(model: Any, division: Division, present: Parameters) -> tuple[set[str], Parameters]:
    """Replace each parameter by the one of equal key that is in `present` or that was loaded into the model first.

    Returns the names of the parameters that were replaced, and all parameters by key.
    """
    shared = dict(present)
    replaced = set()
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, key in division.keys.items():
        module, _, attribute = name.rpartition(".")
        held = modules[module]._parameters
        found = shared.setdefault(key, held[attribute])
        if found is not held[attribute]:
            found._is_hf_initialized = True  # type: ignore[attr-defined]  # transformers must not initialise it
            held[attribute] = found
            replaced.add(name)
    kept = set(division.keys.values())
    return replaced, {key: parameter for key, parameter in shared.items() if key in kept}
