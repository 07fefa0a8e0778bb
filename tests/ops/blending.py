"""Ops applied to whole tensors in one tile, as an executor would: passes first, their sums added, then apply."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stacker.ops.model import Tile, Value
from stacker.ops.settings import make_kernel
from stacker.ops.table import OPS


def blend(
    op: str, sources: Sequence[torch.Tensor], *, weights: Sequence[float] | None = None, **own: Value
) -> torch.Tensor:
    """The blend of `sources`, which stay as they are; `weights` are per source."""
    each: list[dict[str, Value]] = [{} for _ in sources] if weights is None else [{"weight": w} for w in weights]
    kernel = make_kernel(OPS[op], own, each)
    scratch = [torch.empty(len(sources[0]), dtype=torch.float64) for _ in range(OPS[op].scratch)]
    known: list[Sequence[float]] = []
    for measure in kernel.passes:
        known.append(measure(Tile(sources, scratch=scratch), known))
    return kernel.apply(Tile([source.clone() for source in sources], scratch=scratch), known)
