"""Loads a model of transformers from the weights of a plan, with transformers' own loader.

The loader reads every tensor once: parameters that are equal to others are left out and shared afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers.utils import logging

from stacker.arch.placement import TensorPlacement
from stacker.core.plan.plan import Plan
from stacker.errors import SpecError
from stacker.live.names import find_sources
from stacker.live.sharing import Division, Parameters, divide_parameters, share_parameters
from stacker.live.weights import Weights
from stacker.progress import Watch, ignore_watch

Config = Mapping[str, Any]
NOTHING: Parameters = {}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on the processor, its parameters by what they are made of, and the name of its list of layers."""

    model: Any
    parameters: Parameters = field(repr=False)
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
    config = make_config(plan.config)
    known = find_model_class(plan.config, config)
    loads: list[tuple[Division, Parameters]] = []

    def load(model: Any, _state: object, _files: object, how: Any, expected: Any = None) -> Any:
        sources = find_sources(model, how.weight_mapping or (), weights.steps)
        division = divide_parameters(model, sources, weights, placements, present)
        state = weights.read(division.needed, watch)
        info, offloaded = known._load_pretrained_model(model, state, None, how, expected)
        replaced, parameters = share_parameters(model, division, present)
        info.missing_keys -= replaced
        loads.append((division, parameters))
        return info, offloaded

    sharing = type(
        known.__name__, (known,), {"_load_pretrained_model": staticmethod(load), "__module__": known.__module__}
    )
    with _quietly():
        model, report = sharing.from_pretrained(
            None, config=config, state_dict={}, dtype=choose_dtype(dtype, plan), output_loading_info=True
        )
    model.__class__ = known
    _check_report(report, known.__name__)
    ((division, parameters),) = loads
    return Loaded(model, parameters, division.layers)


def make_config(config: Config) -> Any:
    """The config of transformers for the content of a config.json; SpecError if transformers has no class for it."""
    kind = str(config.get("model_type"))
    classes: Any = transformers.CONFIG_MAPPING
    if kind not in classes:
        message = (
            f"transformers {transformers.__version__} has no models of type '{kind}', so this stack cannot be live"
        )
        raise SpecError.of(message, "build it, and run it with a program that knows the family")
    return classes[kind].from_dict(dict(config))


def find_model_class(config: Config, made: Any) -> Any:
    """The class of transformers that the config names for text generation.

    This is the first of `architectures` if it generates text, or else the one that the auto classes choose.
    """
    auto = transformers.models.auto.modeling_auto
    for mapping in (auto.MODEL_FOR_CAUSAL_LM_MAPPING, auto.MODEL_FOR_MULTIMODAL_LM_MAPPING):
        if type(made) in mapping:
            found = mapping[type(made)]
            return found[0] if isinstance(found, tuple) else found
    names = config.get("architectures") or ["?"]
    raise SpecError.of(f"transformers has no class that generates text with '{names[0]}'", "build the stack instead")


def choose_dtype(dtype: str | None, plan: Plan) -> torch.dtype:
    """The type of the parameters: `dtype`, or that of the config, or that of the first tensor of floats."""
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


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the progress bars of transformers, and its report about tensors, during a `with` block."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
