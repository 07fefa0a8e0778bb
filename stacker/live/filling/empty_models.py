"""Makes models of transformers without weights, and keeps them: a stack with a config that is known gets a copy.

A copy takes a tenth of the time that transformers needs to make a model.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.core_model_loading import LoadStateDictInfo
from transformers.initialization import no_init_weights

from stacker.core.plan.plan import Plan
from stacker.errors import SpecError
from stacker.formats.json_object import format_json
from stacker.live.filling.classes import explain_failures, find_model_class, hide_messages, make_config
from stacker.live.filling.names import Sources, find_sources

_KEPT = 8
"""How many empty models are kept; each takes a few megabytes."""


@dataclass(frozen=True, slots=True)
class EmptyModel:
    """A model on the device `meta`, which has no memory; `how` are transformers' settings for loading it.

    `sources` has the names of the checkpoint's tensors that each parameter is made of.
    """

    model: Any
    how: Any = field(repr=False)
    sources: Sources = field(repr=False)


class EmptyModels:
    """Keeps the empty models that were needed last."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], EmptyModel] = {}

    def make(self, plan: Plan, dtype: str | None) -> EmptyModel:
        """The empty model of a plan's config and tensors, in `dtype`, or else in the type that the config names.

        Nobody else has the model. SpecError if transformers has no class for the config.
        """
        kind = choose_dtype(dtype, plan)
        names = tuple(step.tensor.name for step in plan.steps)
        key = (format_json(dict(plan.config)), kind, names)
        known = self._kept.pop(key, None) or _make_empty(plan.config, kind, names)
        self._kept = dict([*self._kept.items(), (key, known)][-_KEPT:])
        return EmptyModel(copy_model(known.model), copy.copy(known.how), known.sources)


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


def _make_empty(config: Mapping[str, Any], dtype: torch.dtype, names: Iterable[str]) -> EmptyModel:
    """Let transformers make the model of a config.json, but neither load nor initialise it.

    For the length of the call, the model has a class of its own, in which these steps are replaced.
    """
    made = make_config(config)
    known = find_model_class(made)
    settings: list[Any] = []

    def make_empty(self: Any, *arguments: Any, **keywords: Any) -> None:
        with no_init_weights():  # random weights would cost time, on the device meta as well
            known.__init__(self, *arguments, **keywords)

    def load_nothing(_model: Any, _state: object, _files: object, how: Any) -> Any:
        settings.append(how)
        return LoadStateDictInfo(set(), set(), set(), [], {}, set()), None

    def leave_empty(_model: Any, _how: Any, info: Any) -> Any:
        return info

    steps = {"_load_pretrained_model": staticmethod(load_nothing), "_finalize_model_loading": staticmethod(leave_empty)}
    with hide_messages(), explain_failures(known.__name__):
        own = {"__init__": make_empty, **steps, "__module__": known.__module__}
        temporary: Any = type(known.__name__, (known,), own)
        model = temporary.from_pretrained(None, config=made, state_dict={}, dtype=dtype)
        model.__class__ = known
        sources = find_sources(model, settings[0].weight_mapping or (), names)
    return EmptyModel(model, settings[0], sources)


def copy_model(model: Any) -> Any:
    """A copy of an empty model with modules and values of its own; only tensors on the device `meta` are the same.

    copy.deepcopy would take ten times as long, because it treats each of many simple values in a general way.
    """
    modules = list(model.modules())
    memo: dict[int, Any] = {id(each): each for each in (*model.parameters(), *model.buffers()) if each.is_meta}
    memo |= {id(module): _make_blank(module) for module in modules}
    for module in modules:
        values = {name: _copy_value(value, memo) for name, value in vars(module).items()}
        vars(memo[id(module)]).update(values)
    return memo[id(model)]


def _make_blank(module: torch.nn.Module) -> Any:
    """An object of a module's class that has no attributes yet."""
    kind: Any = type(module)
    return kind.__new__(kind)


_CONSTANTS = frozenset({type(None), bool, int, float, str, torch.dtype, torch.device})
_CONTAINERS = frozenset({dict, OrderedDict, set})


def _copy_value(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _CONSTANTS:
        return value
    if kind in _CONTAINERS and not value:
        return kind()
    if kind is dict and all(each is None or id(each) in memo for each in value.values()):
        return {name: memo.get(id(each)) for name, each in value.items()}  # parameters, buffers or submodules
    return copy.deepcopy(value, memo)
