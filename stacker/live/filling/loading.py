"""Fills empty models of transformers with the weights of a plan, by transformers' own rules.

Every tensor is read once: parameters that are equal to others are left out and shared afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.core_model_loading import convert_and_load_state_dict_in_model

from stacker.arch.placement import TensorPlacement
from stacker.errors import SpecError
from stacker.live.filling.classes import explain_failures, hide_messages
from stacker.live.filling.empty_models import EmptyModel
from stacker.live.filling.sharing import Parameters, divide_parameters, find_layer_list, share_parameters
from stacker.live.filling.weights import Weights
from stacker.progress import Watch, ignore_watch

State = Mapping[str, torch.Tensor]
NOTHING: Parameters = {}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on the processor, its parameters by what they are made of, and the name of its list of layers."""

    model: Any
    parameters: Parameters = field(repr=False)
    layers: str


@dataclass(frozen=True, slots=True)
class Hollow:
    """A model whose layers have no weights yet; `how` are transformers' settings for loading them.

    `names` has the checkpoint's tensors of each layer, and `layers` is the name of the list of layers.
    """

    model: Any
    how: Any = field(repr=False)
    names: tuple[tuple[str, ...], ...] = field(repr=False)
    layers: str


def load_model(
    empty: EmptyModel,
    weights: Weights,
    placements: Mapping[str, TensorPlacement],
    present: Parameters = NOTHING,
    watch: Watch = ignore_watch,
) -> Loaded:
    """Fill an empty model; parameters in `present` are used as they are.

    SpecError if transformers finds that tensors are missing or have another shape.
    """
    division = divide_parameters(empty.model, empty.sources, weights, placements, present)
    with _loading(empty):
        info = _load_tensors(empty, weights.read(division.needed, watch))
        replaced, parameters = share_parameters(empty.model, division, present)
        _finish_loading(empty, info, replaced)
    return Loaded(empty.model, parameters, find_layer_list(empty.sources, placements))


def load_hollow(empty: EmptyModel, weights: Weights, placements: Mapping[str, TensorPlacement]) -> Hollow:
    """Fill an empty model outside its layers; the layers stay on the device `meta`, which has no memory."""
    outside = [name for name in weights.steps if placements[name].layer is None]
    inside = {name for name, of in empty.sources.items() if any(placements[each].layer is not None for each in of)}
    with _loading(empty):
        _finish_loading(empty, _load_tensors(empty, weights.load(outside)), inside)
    depth = 1 + max((place.layer for place in placements.values() if place.layer is not None), default=-1)
    names = tuple(tuple(name for name in weights.steps if placements[name].layer == each) for each in range(depth))
    return Hollow(empty.model, empty.how, names, find_layer_list(empty.sources, placements))


def load_layer(hollow: Hollow, state: State) -> None:
    """Load the tensors of one layer into a hollow model, converted as transformers converts them."""
    with hide_messages():
        convert_and_load_state_dict_in_model(hollow.model, dict(state), hollow.how)


@contextmanager
def _loading(empty: EmptyModel) -> Iterator[None]:
    with hide_messages(), explain_failures(type(empty.model).__name__):
        yield


def _load_tensors(empty: EmptyModel, state: State) -> Any:
    """Load a checkpoint's tensors, converted; returns transformers' report."""
    return convert_and_load_state_dict_in_model(empty.model, dict(state), empty.how)[0]


def _finish_loading(empty: EmptyModel, info: Any, present: Iterable[str]) -> None:
    """Let transformers tie weights and compute buffers; SpecError if more parameters are missing than `present`."""
    info.missing_keys.difference_update(present)
    _mark_loaded(empty.model)
    _check_report(empty.model._finalize_model_loading(empty.model, empty.how, info), type(empty.model).__name__)


def _mark_loaded(module: torch.nn.Module) -> bool:
    """Mark modules in which all is loaded, so that transformers need not look at each; returns whether this one is.

    A module with buffers is never marked, because some families compute them anew after loading.
    """
    inside = [_mark_loaded(child) for child in module.children()]
    own = [each for each in module._parameters.values() if each is not None]
    loaded = all(inside) and not module._buffers and all(getattr(each, "_is_hf_initialized", False) for each in own)
    if loaded:
        module._is_hf_initialized = True  # type: ignore[assignment]
    return loaded


def _check_report(report: Any, name: str) -> None:
    for what, names in (("missing", report.missing_keys), ("mismatched", report.mismatched_keys)):
        if names:
            listed = sorted(map(str, names))
            first = f"{what} tensors: {', '.join(listed[:3])}{' and more' if len(listed) > 3 else ''}"
            message = f"transformers' {name} cannot be filled from this stack; {first}"
            raise SpecError.of(message, "build the stack instead")
