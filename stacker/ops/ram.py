"""ram and ramplus_tl: what one source alone changed is kept whole, what several changed is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.combination import deltas, on_base
from stacker.ops.masks import chosen, keep
from stacker.ops.model import Base, Kernel, Known, Op, OpParameter, Pass, Tile, Values

if TYPE_CHECKING:
    import torch


def _make_ram(own: Values, each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_merge, float(own["epsilon"]), [1.0] * len(each)))


def _make_plus(own: Values, each: Sequence[Values]) -> Kernel:  # noqa: ARG001 - a MakeKernel
    epsilon, r, alpha = (float(own[name]) for name in ("epsilon", "r", "alpha"))
    finish = partial(_factors, r, alpha)
    return Kernel(lambda tile, known: _merge(epsilon, known[0], tile, known), (Pass(partial(_count, epsilon), finish),))


def _changed(epsilon: float, tile: Tile) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """What each source adds, where it adds anything, and how many do."""
    import torch

    found = list(deltas(tile))
    masks = [delta.abs() > epsilon for delta in found]
    return found, masks, torch.stack(masks).sum(0, dtype=torch.int32)


def _count(epsilon: float, tile: Tile, known: Known) -> list[float]:  # noqa: ARG001 - a Measure
    """How many elements each source shares with others, then how many it changed alone."""
    _, masks, count = _changed(epsilon, tile)
    alone = count == 1
    unique = [float((mask & alone).sum()) for mask in masks]
    return [float(mask.sum()) - own for mask, own in zip(masks, unique, strict=True)] + unique


def _factors(r: float, alpha: float, sums: Sequence[float], known: Known) -> list[float]:  # noqa: ARG001 - a Finish
    shared, unique = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    ratios = (both / max(own, 1.0) for both, own in zip(shared, unique, strict=True))
    return [1.0 + r * min(ratio, alpha) for ratio in ratios]


def _merge(epsilon: float, factors: Sequence[float], tile: Tile, known: Known) -> torch.Tensor:  # noqa: ARG001
    import torch

    found, masks, count = _changed(epsilon, tile)
    alone, share = count == 1, 1.0 / count.clamp_(min=1)
    total = torch.zeros_like(found[0])
    for delta, mask, factor in zip(found, masks, factors, strict=True):
        total += keep(delta, chosen(mask)).mul_(share + alone * (factor - 1.0))
    return on_base(total, tile)


_EPSILON = OpParameter("epsilon", float, 1e-5, "the largest change that counts as none", low=0.0)
_SOURCE = "Reinforced agent merging (2026), arXiv:2601.13572"

OP = Op(
    name="ram",
    summary="changes of one source alone kept, shared ones averaged",
    formula="base + Σ dᵢ / (number of sources that changed the element), |dᵢ| > epsilon",
    source=_SOURCE,
    arity=(1, None),
    parameters=(_EPSILON,),
    make=_make_ram,
    base=Base.REQUIRED,
    fresh=32,
)
PLUS = Op(
    name="ramplus_tl",
    summary="as ram, a source's own changes enlarged where it shares many, tensor by tensor",
    formula="as ram, own changes times 1 + r · min(shared/own, alpha)",
    source=_SOURCE,
    arity=(1, None),
    parameters=(
        OpParameter("r", float, 0.1, "how much own changes are enlarged"),
        OpParameter("alpha", float, 0.2, "the largest ratio of shared to own changes that counts", low=0.0),
        _EPSILON,
    ),
    make=_make_plus,
    base=Base.REQUIRED,
    fresh=32,
)
