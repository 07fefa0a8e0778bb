"""Defines LiveStack, a stack that runs: a model of transformers filled from donors' files, without a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import torch

from stacker.core.side_files.kinds import Kind
from stacker.errors import SpecError
from stacker.formats.garbage_collector import pause_collector
from stacker.io.donors.side_files import read_clean_files
from stacker.io.machine import read_available_memory
from stacker.live.filling.empty_models import EmptyModels
from stacker.live.filling.loading import NOTHING, Hollow, Loaded, load_hollow, load_model
from stacker.live.filling.placement import check_device, place_ends, place_model
from stacker.live.filling.sharing import ParameterKey, Parameters
from stacker.live.filling.streaming import LayerWindow
from stacker.live.filling.weights import DonorMaps, Weights, open_weights
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.forecast.memory import check_available, choose_streaming, predict_memory
from stacker.live.tokenizer import load_tokenizer
from stacker.progress import Watch, ignore_watch
from stacker.run.compute.device import AUTO, HOST

_WHOLE = {"zaya": "transformers changes biases of its routers after it has loaded the whole model"}
"""Families that cannot be streamed, and why."""
Draw = Callable[[Any], Blueprint]
"""Makes the blueprint of a spec, which is given as a path or as a Stack."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a live stack is made: `dtype` is the type of its parameters (None: as the config says).

    If the weights take more than `max_memory` bytes, layers are streamed; None sets no limit.
    """

    device: str = HOST
    dtype: str | None = None
    max_memory: int | None = None


@dataclass(frozen=True, slots=True)
class Common:
    """What stacks have in common that are rearranged from one another: files, empty models, and donors that were read.

    `draw` makes the blueprints of their specs.
    """

    draw: Draw
    maps: DonorMaps
    models: EmptyModels


@dataclass(frozen=True, slots=True)
class LiveStack:
    """A stack in memory; `model` is an ordinary model of transformers, and `layers` are its decoder layers.

    The model has this record as its attribute `live_stack`, and `rearrange_model` as its method `rearranged`.
    `parameters` has the model's parameters by what they are made of, and `kinds` the type and device of each when it
    was loaded.
    """

    blueprint: Blueprint
    model: Any
    settings: Settings
    layers_name: str
    parameters: Parameters = field(repr=False)
    kinds: Mapping[ParameterKey, tuple[torch.dtype, torch.device]] = field(repr=False)
    common: Common = field(repr=False)

    @property
    def layers(self) -> torch.nn.ModuleList:
        """The decoder layers from the first to the last; layers made of the same weights share their parameters."""
        found: torch.nn.ModuleList = self.model.get_submodule(self.layers_name)
        return found

    def rearranged(self, spec: Any, watch: Watch = ignore_watch) -> LiveStack:
        """The live stack of another spec (a path or a Stack), which shares all equal parameters with this one.

        Both can be used side by side; a parameter that is changed in one changes in the other. Parameters that were
        moved or converted since this stack was loaded are not shared.
        """
        kept = {key: each for key, each in self.parameters.items() if (each.dtype, each.device) == self.kinds[key]}
        with pause_collector():
            return _make(self.common.draw(spec), self.settings, self.common, kept, watch)

    def rearrange_model(self, spec: Any) -> Any:
        """The model of another spec, which shares all equal parameters with this one; see `rearranged`."""
        return self.rearranged(spec).model

    def release(self) -> None:
        """Free the memory that no other stack uses as soon as nothing else refers to the model.

        Until then the model and this record keep each other, and Python may take long to see that. Afterwards the
        model runs as before, but it cannot be rearranged.
        """
        for name in ("live_stack", "rearranged"):
            self.model.__dict__.pop(name, None)

    def __deepcopy__(self, _memo: object) -> LiveStack:
        """The live stack itself, so that copying its model copies neither donors' files nor this record."""
        return self

    def load_tokenizer(self) -> Any:
        """The stack's tokenizer, as transformers loads it; DonorError if there is none."""
        return load_tokenizer(self.blueprint.side_files, dict(self.blueprint.plan.config))


def make_live(blueprint: Blueprint, settings: Settings, draw: Draw, watch: Watch = ignore_watch) -> LiveStack:
    """Load the stack of a blueprint into memory.

    SpecError if transformers cannot run it, DonorError if a donor's file cannot be read. `watch` is called with the
    bytes computed and to compute.
    """
    return _make(blueprint, settings, Common(draw, DonorMaps(), EmptyModels()), NOTHING, watch)


def _make(blueprint: Blueprint, settings: Settings, common: Common, present: Parameters, watch: Watch) -> LiveStack:
    check_device(settings.device)
    _check_plain(blueprint)
    memory = predict_memory(blueprint, settings.dtype)
    streams = choose_streaming(memory, settings.max_memory)
    if not streams:
        check_available(memory, _find_room(present))
    weights = open_weights(blueprint, common.maps)
    empty = common.models.make(blueprint.plan, settings.dtype)
    if streams:
        loaded = _stream(load_hollow(empty, weights, blueprint.placements), weights, settings.device)
    else:
        loaded = load_model(empty, weights, blueprint.placements, present, watch)
        if not place_model(loaded.model, settings.device, memory.weights):
            loaded = replace(loaded, parameters=NOTHING)
    _finish(loaded.model, blueprint)
    kinds = {key: (parameter.dtype, parameter.device) for key, parameter in loaded.parameters.items()}
    live = LiveStack(blueprint, loaded.model, settings, loaded.layers, loaded.parameters, kinds, common)
    live.model.live_stack, live.model.rearranged = live, live.rearrange_model
    return live


def _find_room(present: Parameters) -> int | None:
    """The memory that weights may take: what is available, and that of present parameters, which may be shared."""
    available = read_available_memory()
    return None if available is None else available + sum(each.nbytes for each in present.values())


def _stream(hollow: Hollow, weights: Weights, device: str) -> Loaded:
    """A hollow model whose layers will pass through a window in memory, on the processor or a GPU.

    SpecError if the family must be loaded whole.
    """
    kind = hollow.model.config.model_type
    reason = "several layers contain the same block" if _have_common_parts(hollow) else _WHOLE.get(kind)
    if reason:
        raise SpecError.of(f"'{kind}' cannot be streamed: {reason}", "allow more memory")
    chosen = "cuda" if device == AUTO and torch.cuda.is_available() else device
    if chosen not in (AUTO, HOST):
        place_ends(hollow.model, chosen)
        hollow.how.device_map = {"": chosen}
    LayerWindow(hollow, weights)
    return Loaded(hollow.model, NOTHING, hollow.layers)


def _have_common_parts(hollow: Hollow) -> bool:
    """Whether a parameter belongs to several layers of the empty model, as in Zamba."""
    parts = [{*map(id, layer.parameters())} for layer in hollow.model.get_submodule(hollow.layers)]
    return len(set().union(*parts)) < sum(map(len, parts))


def _check_plain(blueprint: Blueprint) -> None:
    quantized = {donor.quantized for donor in blueprint.donors.values() if donor.quantized}
    if quantized:
        message = f"the weights are quantised ({', '.join(sorted(quantized))}), which a live stack cannot load yet"
        raise SpecError.of(message, "build the stack and load it with transformers")


def _finish(model: Any, blueprint: Blueprint) -> None:
    from transformers import GenerationConfig

    files = blueprint.side_files
    settings = tuple(each for each in files.carried if each.rule.kind is Kind.GENERATION)
    for _, data in read_clean_files(replace(files, carried=settings)):
        model.generation_config = GenerationConfig.from_dict(json.loads(data))
    model.name_or_path = model.config.name_or_path = blueprint.plan.name
    model.save_pretrained = _refuse_saving


def _refuse_saving(*_arguments: object, **_options: object) -> NoReturn:
    message = "a live stack cannot be saved by transformers, because its layers share parameters"
    raise SpecError.of(message, "write the stack with `stacker build` or `Stack.build`")
