"""Ops applied to whole tensors as an executor would: passes first, their sums added, then apply, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stacker.ops.model import Kernel, Tile, Value, Values
from stacker.ops.settings import make_kernel
from stacker.ops.table import OPS
from stacker.run.tally import Tally


def blend(
    op: str,
    sources: Sequence[torch.Tensor],
    *,
    base: torch.Tensor | None = None,
    weights: Sequence[float] | None = None,
    each: Sequence[Values] | None = None,
    tile: int = 0,
    name: str = "x",
    **own: Value,
) -> torch.Tensor:
    """The blend of `sources`, which stay as they are; `weights` are per source, as is all in `each`.

    A `tile` other than 0 is how many elements are computed at a time.
    """
    values = each if each is not None else [{"weight": weight} for weight in weights or ()] or [{} for _ in sources]
    kernel = make_kernel(OPS[op], own, values)
    tiles = _Tiles(sources, base, OPS[op].scratch, tile or sources[0].numel(), name)
    known = _known(kernel, tiles)
    return torch.cat([kernel.apply(one, known).clone() for one in tiles.all()]).reshape(sources[0].shape)


class _Tiles:
    """Fresh tiles of whole tensors, each time they are asked for."""

    def __init__(
        self, sources: Sequence[torch.Tensor], base: torch.Tensor | None, scratch: int, size: int, seed: str
    ) -> None:
        self.sources, self.base, self.size, self.seed = sources, base, size, seed
        self.scratch = [torch.empty(size, dtype=torch.float64) for _ in range(scratch)]
        self.starts = range(0, sources[0].numel(), size)

    def all(self) -> list[Tile]:
        return [self._tile(number, start) for number, start in enumerate(self.starts)]

    def _tile(self, number: int, start: int) -> Tile:
        cut = [source.flatten()[start : start + self.size].clone() for source in self.sources]
        base = None if self.base is None else self.base.flatten()[start : start + self.size].clone()
        scratch = [room[: len(cut[0])] for room in self.scratch]
        shape = self.sources[0].shape
        return Tile(cut, base, scratch, start, number, len(self.starts), shape[-1], self.seed)


def _known(kernel: Kernel, tiles: _Tiles) -> list[Any]:
    known: list[Any] = []
    for one in kernel.passes:
        tally = Tally()
        for number, tile in enumerate(tiles.all()):
            tally.add(number, [one.measure(tile, known)])
        known.append(one.finish(tally.total(), known))
    return known
