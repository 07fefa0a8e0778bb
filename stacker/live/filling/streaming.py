"""Runs a model whose layers do not fit into memory: a window of layers moves through it, read ahead by a thread.

transformers' own forward pass runs unchanged. Before each layer, a hook waits for the layer's weights. transformers
loads a layer the first time; where its parameters turn out to be the bytes that were read, unchanged, they are placed
directly afterwards, which takes a tenth of the time.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from stacker.live.filling.loading import Hollow, State, load_layer
from stacker.live.filling.weights import Weights
from stacker.live.forecast.memory import WINDOW

_SAMPLES = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """How a parameter lies in the arena of its layer: from byte `begin` to byte `end`; `trained` is requires_grad."""

    begin: int
    end: int
    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]
    trained: bool

    def make(self, arena: memoryview) -> torch.nn.Parameter:
        """The parameter in an arena."""
        whole = torch.frombuffer(arena[self.begin : self.end], dtype=self.dtype)
        return torch.nn.Parameter(whole.as_strided(self.shape, self.stride), requires_grad=self.trained)


class LayerWindow:
    """Keeps WINDOW layers of a hollow model filled: the one that runs and those that come next.

    After the last layer comes the first, so that the next pass finds its beginning read.
    """

    def __init__(self, hollow: Hollow, weights: Weights) -> None:
        self._hollow = hollow
        self._weights = weights
        self._shown: torch.nn.ModuleList = hollow.model.get_submodule(hollow.layers)
        self._layers = list(self._shown)
        self._empty = [dict(_list_tensors(layer)) for layer in self._layers]
        size = max(map(weights.count_arena_bytes, hollow.names))
        self._arenas = [memoryview(mmap.mmap(-1, max(size, 1))) for _ in range(min(WINDOW, len(self._layers)))]
        self._ahead = len(self._arenas)
        self._views: dict[int, Mapping[str, View] | None] = {}
        self._read: dict[int, tuple[Future[State], memoryview]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="layers")
        for index, layer in enumerate(self._layers):
            layer.register_forward_pre_hook(self._make_hook(index))

    def _make_hook(self, index: int) -> Any:
        def wait(_module: torch.nn.Module, _arguments: object) -> None:
            self.enter(index)

        return wait

    def enter(self, index: int) -> None:
        """Wait until layer `index` is filled, empty the layers behind it, and let the next ones be read."""
        wanted = [(index + ahead) % len(self._layers) for ahead in range(self._ahead)]
        for other in [each for each in self._read if each not in wanted]:
            self._empty_layer(other)
        for each in wanted:
            if each not in self._read:
                arena = self._arenas.pop()
                names = self._hollow.names[each]
                self._read[each] = self._reader.submit(self._weights.load_into, arena, names), arena
        read, arena = self._read[index]
        self._fill_layer(index, read.result(), arena)

    def _fill_layer(self, index: int, state: State, arena: memoryview) -> None:
        views = self._views.get(index)
        if views:
            self._place(index, {name: view.make(arena) for name, view in views.items()})
            return
        before = None if index in self._views else _sample(arena).clone()
        self._load_layer(index, state)
        if before is not None:
            same = torch.equal(_sample(arena), before)
            self._views[index] = _find_views(self._layers[index], self._empty[index], arena) if same else None

    def _load_layer(self, index: int, state: State) -> None:
        shown = self._shown[index]  # in a ForwardPass, a stand-in
        self._shown[index] = self._layers[index]
        load_layer(self._hollow, state)
        self._shown[index] = shown

    def _empty_layer(self, index: int) -> None:
        read, arena = self._read.pop(index)
        read.exception()  # wait, because the reader may still write into the arena
        self._place(index, self._empty[index])
        self._arenas.append(arena)

    def _place(self, index: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set parameters and buffers of a layer, by name."""
        for name, tensor in tensors.items():
            path, _, attribute = name.rpartition(".")
            setattr(self._layers[index].get_submodule(path), attribute, tensor)


def _list_tensors(layer: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters and buffers of a layer that have no memory yet."""
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if tensor.is_meta:
            yield name, tensor


def _sample(arena: memoryview) -> torch.Tensor:
    """About _SAMPLES bytes from everywhere in an arena, which tell whether loading has changed what was read."""
    whole = torch.frombuffer(arena, dtype=torch.uint8)
    return whole[:: len(whole) // _SAMPLES | 1]


def _find_views(layer: torch.nn.Module, names: Iterable[str], arena: memoryview) -> Mapping[str, View] | None:
    """How all of a layer's tensors lie in the arena that they were loaded from; None if one does not lie there."""
    start, found = torch.frombuffer(arena, dtype=torch.uint8).data_ptr(), dict[str, View]()
    for name in names:
        path, _, attribute = name.rpartition(".")
        tensor = getattr(layer.get_submodule(path), attribute)
        span = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        begin, end = tensor.data_ptr() - start, tensor.data_ptr() - start + span * tensor.element_size()
        lies_there = tensor.device.type == "cpu" and tensor.numel() and begin >= 0 and end <= len(arena)
        if not lies_there or not isinstance(tensor, torch.nn.Parameter):
            return None
        found[name] = View(begin, end, tensor.dtype, tensor.shape, tensor.stride(), tensor.requires_grad)
    return found
