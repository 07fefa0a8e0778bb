"""Applies ops to whole tensors as an executor does: first all passes, then the result, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stacker.arithmetic.backend import Array, Backend
from stacker.arithmetic.numpy_backend import NUMPY
from stacker.arithmetic.torch_backend import TorchBackend
from stacker.ops.shared.op import Kernel, Tile, Value, Values
from stacker.ops.shared.settings import make_kernel
from stacker.ops.table import OPS
from stacker.run.compute.sums import Accumulator

TORCH = TorchBackend(torch.device("cpu"))
"""The backend that computes blends on a GPU, here on the CPU."""


def blend(
    op: str,
    sources: Sequence[torch.Tensor],
    *,
    base: torch.Tensor | None = None,
    weights: Sequence[float] | None = None,
    each: Sequence[Values] | None = None,
    tile: int = 0,
    name: str = "x",
    backend: Backend = NUMPY,
    **own: Value,
) -> torch.Tensor:
    """Blend `sources`, which are not changed.

    `weights` has one weight for each source, or `each` has all values of each source; `own` are the values of the whole
    blend. A `tile` other than 0 is how many elements are computed at a time.
    """
    values = each if each is not None else [{"weight": weight} for weight in weights or ()] or [{} for _ in sources]
    kernel = make_kernel(OPS[op], own, values)
    tiles = _Tiles(sources, base, backend, tile or sources[0].numel(), name)
    known = _known(kernel, tiles)
    made = [torch.as_tensor(kernel.apply(tiles.tile(number), known)).clone() for number in tiles.numbers]
    return torch.cat(made).reshape(sources[0].shape)


def array_of(tensor: torch.Tensor, backend: Backend) -> Array:
    """A flat copy of a tensor as an array of the backend."""
    copy = tensor.flatten().clone()
    return copy if isinstance(backend, TorchBackend) else copy.numpy()


class _Tiles:
    """Cuts whole tensors into tiles; every call of `tile` makes new copies."""

    def __init__(
        self, sources: Sequence[torch.Tensor], base: torch.Tensor | None, backend: Backend, size: int, seed: str
    ) -> None:
        self.sources, self.base, self.backend, self.size, self.seed = sources, base, backend, size, seed
        self.starts = range(0, sources[0].numel(), size)
        self.numbers = range(len(self.starts))

    def tile(self, number: int, total: Array | None = None) -> Tile:
        start = self.starts[number]
        return Tile(
            sources=[self._cut(source, start) for source in self.sources],
            backend=self.backend,
            base=None if self.base is None else self._cut(self.base, start),
            total=total,
            start=start,
            number=number,
            count=len(self.starts),
            row=self.sources[0].shape[-1],
            seed=self.seed,
        )

    def _cut(self, tensor: torch.Tensor, start: int) -> Array:
        return array_of(tensor.flatten()[start : start + self.size], self.backend)


def _known(kernel: Kernel, tiles: _Tiles) -> list[Any]:
    known: list[Any] = []
    for one in kernel.passes:
        accumulator, numbers, total = Accumulator(), [], None
        for number in tiles.numbers:
            found = one.measure(tiles.tile(number, total), known)
            if isinstance(found, list):
                numbers.append(found)
            else:
                total = found
        accumulator.add(0, numbers, None if total is None else tiles.backend.to_numpy(total))
        known.append(one.finish(accumulator.total(), known))
    return known
