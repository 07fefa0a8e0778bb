"""Loads a model of transformers from the weights of a plan, with transformers' own loader.

The loader reads every tensor once: parameters that are equal to others are left out and shared afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.core_model_loading import convert_and_load_state_dict_in_model
from transformers.initialization import no_init_weights

from stacker.arch.placement import TensorPlacement
from stacker.core.plan.plan import Plan
from stacker.errors import SpecError
from stacker.live.filling.classes import explain_failures, find_model_class, hide_messages, make_config
from stacker.live.filling.names import Sources, find_sources
from stacker.live.filling.sharing import Parameters, divide_parameters, find_layer_list, share_parameters
from stacker.live.filling.weights import Weights
from stacker.progress import Watch, ignore_watch

State = Mapping[str, torch.Tensor]
NOTHING: Parameters = {}
Fill = Callable[[Any, Any], tuple[State, Callable[[], set[str]]]]
"""A function of an empty model and transformers' settings for loading it.

It returns the checkpoint's tensors to load, and a function to call when they are loaded, which fills or leaves out
other parameters and returns their names.
"""


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
    plan: Plan,
    weights: Weights,
    placements: Mapping[str, TensorPlacement],
    *,
    dtype: str | None = None,
    present: Parameters = NOTHING,
    watch: Watch = ignore_watch,
) -> Loaded:
    """Load the model that the plan describes, in `dtype`, or else in the type that its config names.

    Parameters in `present` are used as they are. SpecError if transformers has no class for the config, or finds that
    tensors are missing or have another shape.
    """
    found: list[tuple[str, Parameters]] = []

    def fill(model: Any, how: Any) -> tuple[State, Callable[[], set[str]]]:
        sources = find_sources(model, how.weight_mapping or (), weights.steps)
        division = divide_parameters(model, sources, weights, placements, present)

        def share() -> set[str]:
            replaced, parameters = share_parameters(model, division, present)
            found.append((find_layer_list(sources, placements), parameters))
            return replaced

        return weights.read(division.needed, watch), share

    model = _load(plan, dtype, fill)
    layers, parameters = found.pop()  # the class that was made for loading keeps the list until Python collects it
    return Loaded(model, parameters, layers)


def load_hollow(
    plan: Plan, weights: Weights, placements: Mapping[str, TensorPlacement], *, dtype: str | None = None
) -> Hollow:
    """Load all parameters outside the layers; those of the layers stay on the device `meta`, which has no memory."""
    found: list[tuple[Any, Sources]] = []
    outside = [name for name in weights.steps if placements[name].layer is None]

    def fill(model: Any, how: Any) -> tuple[State, Callable[[], set[str]]]:
        sources = find_sources(model, how.weight_mapping or (), weights.steps)
        found.append((how, sources))
        inside = {name for name, of in sources.items() if any(placements[each].layer is not None for each in of)}
        return weights.load(outside), lambda: inside

    model = _load(plan, dtype, fill)
    ((how, sources),) = found
    depth = 1 + max((place.layer for place in placements.values() if place.layer is not None), default=-1)
    names = tuple(tuple(name for name in weights.steps if placements[name].layer == each) for each in range(depth))
    return Hollow(model, how, names, find_layer_list(sources, placements))


def load_layer(hollow: Hollow, state: State) -> None:
    """Load the tensors of one layer into a hollow model, converted as transformers converts them."""
    with hide_messages():
        convert_and_load_state_dict_in_model(hollow.model, dict(state), hollow.how)


def _load(plan: Plan, dtype: str | None, fill: Fill) -> Any:
    """Let transformers make the model of a plan's config and load what `fill` returns.

    For the length of the call, the model has a class of its own, in which the step that reads files is replaced.
    """
    config = make_config(plan.config)
    known = find_model_class(config)

    def load(model: Any, _state: object, _files: object, how: Any, expected: Any = None) -> Any:
        state, finish = fill(model, how)
        info, offloaded = known._load_pretrained_model(model, dict(state), None, how, expected)
        info.missing_keys -= finish()
        return info, offloaded

    def make_empty(self: Any, *arguments: Any, **keywords: Any) -> None:
        with no_init_weights():  # transformers makes the model on the device meta, where random weights cost only time
            known.__init__(self, *arguments, **keywords)

    replaced = {"__init__": make_empty, "_load_pretrained_model": staticmethod(load)}
    with hide_messages(), explain_failures(known.__name__):
        temporary: Any = type(known.__name__, (known,), {**replaced, "__module__": known.__module__})
        model, report = temporary.from_pretrained(
            None, config=config, state_dict={}, dtype=choose_dtype(dtype, plan), output_loading_info=True
        )
    model.__class__ = known
    _check_report(report, known.__name__)
    return model


def choose_dtype(dtype: str | None, plan: Plan) -> torch.dtype:
    """The type of the parameters: `dtype`, or that of the config, or that of the first tensor of floats.

    SpecError if it is not a type of floats.
    """
    floats = [step.tensor.dtype.torch_name for step in plan.steps if step.tensor.dtype.arithmetic]
    named = dtype or plan.config.get("dtype") or plan.config.get("torch_dtype") or next(iter(floats), "float32")
    found = getattr(torch, str(named).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise SpecError.of(f"'{named}' is no type for parameters", "write float32, bfloat16 or float16")
    return found


def _check_report(report: Mapping[str, Any], name: str) -> None:
    wrong = {key: report.get(key) for key in ("missing_keys", "mismatched_keys") if report.get(key)}
    for key, names in wrong.items():
        listed = sorted(map(str, names or ()))
        what = f"{key.removesuffix('_keys')} tensors: {', '.join(listed[:3])}{' and more' if len(listed) > 3 else ''}"
        raise SpecError.of(f"transformers' {name} cannot be filled from this stack; {what}", "build the stack instead")
