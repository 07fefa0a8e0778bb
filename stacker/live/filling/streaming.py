"""Runs a model whose layers do not fit into memory: a window of layers moves through it, read ahead by a thread.

transformers' own forward pass runs unchanged. Before each layer, a hook waits for the layer's weights.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from stacker.live.filling.loading import Hollow, State, load_layer
from stacker.live.filling.weights import Weights
from stacker.live.forecast.memory import WINDOW


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
        self._fill_layer(index, self._read[index][0].result())

    def _fill_layer(self, index: int, state: State) -> None:
        shown = self._shown[index]  # in a ForwardPass, a stand-in
        self._shown[index] = self._layers[index]
        load_layer(self._hollow, state)
        self._shown[index] = shown

    def _empty_layer(self, index: int) -> None:
        read, arena = self._read.pop(index)
        read.exception()  # wait, because the reader may still write into the arena
        for name, tensor in self._empty[index].items():
            path, _, attribute = name.rpartition(".")
            setattr(self._layers[index].get_submodule(path), attribute, tensor)
        self._arenas.append(arena)


def _list_tensors(layer: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters and buffers of a layer that have no memory yet."""
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if tensor.is_meta:
            yield name, tensor
