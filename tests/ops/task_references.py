"""Reference task-vector ops by the papers' formulas: whole tensors in fp64, by sorting, no code shared with the ops."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Tensors = Sequence[torch.Tensor]


def changes(sources: Tensors, base: torch.Tensor) -> list[torch.Tensor]:
    """Each source's difference from the base, computed in its own type and widened to fp64."""
    return [(source - base).double() for source in sources]


def by_size(values: torch.Tensor) -> torch.Tensor:
    """Indices by descending magnitude; of equal ones the earlier first."""
    return values.abs().flatten().sort(descending=True, stable=True).indices


def keep(delta: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The elements at the given indices, 0 elsewhere."""
    kept = torch.zeros_like(delta).flatten()
    kept[places] = delta.flatten()[places]
    return kept.reshape(delta.shape)


def largest(delta: torch.Tensor, density: float) -> torch.Tensor:
    """TIES: the largest elements by magnitude."""
    return keep(delta, by_size(delta)[: max(1, int(density * delta.numel()))])


def crumbs(delta: torch.Tensor, density: float, gamma: float) -> torch.Tensor:
    """Breadcrumbs: the elements after the largest ones, or the smallest if there are too few."""
    count = delta.numel()
    kept = int(density * count)
    first = min(int(gamma * count), count - kept)
    return keep(delta, by_size(delta)[first : first + kept])


def restored(kept: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """The sparse delta, scaled to the delta's sum of magnitudes."""
    return kept * delta.abs().sum() / kept.abs().sum()


def added(deltas: Tensors, weights: Sequence[float], *, normalize: bool = False) -> torch.Tensor:
    """Task arithmetic: Σ wd, or the weighted mean."""
    total = torch.zeros_like(deltas[0])
    for weight, delta in zip(weights, deltas, strict=True):
        total = total + weight * delta
    return total / sum(weights) if normalize else total


def agreed(deltas: Tensors, weights: Sequence[float], *, normalize: bool = True) -> torch.Tensor:
    """TIES: the elements with the elected sign, added or averaged by their weights; 0 elects +."""
    weighted = torch.stack([weight * delta for weight, delta in zip(weights, deltas, strict=True)])
    sign = torch.where(weighted.sum(0) >= 0, 1.0, -1.0).double()
    mask = weighted.sign() == sign
    divisor = (mask * torch.tensor(weights, dtype=torch.float64).view(-1, *[1] * deltas[0].dim())).sum(0)
    total = (weighted * mask).sum(0)
    return total / torch.where(divisor == 0, 1.0, divisor) if normalize else total


def sce(deltas: Tensors, share: float) -> torch.Tensor:
    """SCE: select by variance, weight by mean squares, keep the elected signs."""
    stacked = torch.stack(list(deltas))
    variance = stacked.float().var(0, unbiased=False)
    if share < 1:
        count = int(share * int(variance.count_nonzero()))
        places = by_size(variance)[:count]
        stacked = torch.stack([keep(delta, places) for delta in stacked])
    weights = stacked.square().flatten(1).mean(1)
    weights = weights / weights.sum()
    sign = torch.where(stacked.sum(0) >= 0, 1.0, -1.0).double()
    mask = stacked.sign() == sign
    factors = weights.view(-1, *[1] * deltas[0].dim()) * mask
    return (factors * stacked).sum(0) / factors.sum(0).clamp(min=1e-6)


def arcee_fusion(source: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Changes of importance over the median by one and a half times the range of the middle half."""
    x, origin = source.double(), base.double()
    p, q = x.softmax(-1) + 1e-8, origin.softmax(-1) + 1e-8
    importance = (x - origin).abs() * (p * (p / q).log()).sum(-1, keepdim=True)
    ordered = importance.flatten().sort().values
    lower, median, upper = (ordered[int(share * (ordered.numel() - 1))] for share in (0.25, 0.5, 0.75))
    return origin + torch.where(importance >= median + 1.5 * (upper - lower), x - origin, 0.0)
