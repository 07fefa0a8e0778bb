"""The election of signs: of what sources add to a base, only what goes the way of most counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.masks import below, bits_of, keep, negative, swap_in

if TYPE_CHECKING:
    import torch

_SIDES = ({"min": 0.0}, {"max": 0.0})


def elected(found: Sequence[torch.Tensor], factors: Sequence[float], weights: Sequence[float] | None) -> torch.Tensor:
    """Σ factor · element over those whose sign is that of the sum of all (0 counts as +), divided by their weights.

    What nothing agrees with is 0. See Yadav et al., TIES-Merging (NeurIPS 2023), section 3, steps 2 and 3.
    """
    import torch

    total = found[0].clone()
    for delta in found[1:]:
        total.add_(delta)
    down = negative(total)
    up, against = (found[0].clamp(**side).mul_(factors[0]) for side in _SIDES)
    part = torch.empty_like(total)
    for delta, factor in zip(found[1:], factors[1:], strict=True):
        for side, sums in zip(_SIDES, (up, against), strict=True):
            sums.add_(torch.clamp(delta, **side, out=part), alpha=factor)
    result = swap_in(up, against, down)
    return result if weights is None else result.div_(_agreeing(found, weights, down, part))


def _agreeing(
    found: Sequence[torch.Tensor], weights: Sequence[float], down: torch.Tensor, part: torch.Tensor
) -> torch.Tensor:
    """Σ weight over the elements that go the elected way, 1 where none does; `part` is overwritten."""
    import torch

    way = down.bitwise_or_(1).to(part.dtype)
    divisor = torch.zeros_like(part)
    for delta, weight in zip(found, weights, strict=True):
        divisor.add_(torch.sign(delta, out=part).mul_(way).relu_(), alpha=weight)
    return divisor.add_(keep(part.fill_(1.0), below(bits_of(divisor), 1)))
