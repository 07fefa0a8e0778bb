"""Reference ops by the papers' formulas: whole tensors in fp64, no code shared with the ops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch

Tensors = Sequence[torch.Tensor]


def double(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Copies in fp64."""
    return [tensor.double() for tensor in tensors]


def linear(sources: Tensors, weights: Sequence[float]) -> torch.Tensor:
    """Model soups: the weighted mean."""
    return sum((w * x for w, x in zip(weights, double(*sources), strict=True)), torch.zeros(())) / sum(weights)


def arc(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Shoemake's slerp of two vectors, linear if they are parallel."""
    cosine = (a @ b / (a.norm() * b.norm())).clamp(-1, 1)
    angle = torch.acos(cosine)
    if not angle.sin() > 1e-8:
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def nuslerp(sources: Tensors, weights: Sequence[float], base: torch.Tensor | None, way: str) -> torch.Tensor:
    """slerp with t = w₂/(w₁+w₂) of "whole" tensors, their "rows" or their "columns"."""
    origin = torch.zeros_like(sources[0]).double() if base is None else base.double()
    a, b = (source - origin for source in double(*sources))
    t = weights[1] / sum(weights)
    if way == "whole":
        return origin + arc(a.flatten(), b.flatten(), t).reshape(a.shape)
    if way == "columns":
        return origin + torch.stack([arc(*pair, t) for pair in zip(a.T, b.T, strict=True)]).T
    return origin + torch.stack([arc(*pair, t) for pair in zip(a, b, strict=True)])


def multislerp(sources: Tensors, weights: Sequence[float], base: torch.Tensor | None) -> torch.Tensor:
    """The mean in the tangent space at the weighted mean of unit vectors, mapped back, times the mean norm."""
    origin = torch.zeros_like(sources[0]).double() if base is None else base.double()
    vectors = [source - origin for source in double(*sources)]
    shares = [weight / sum(weights) for weight in weights]
    units = [vector / vector.norm() for vector in vectors]
    mean = sum((w * u for w, u in zip(shares, units, strict=True)), torch.zeros(()))
    mean = mean / mean.norm()
    tangents = [unit - (unit * mean).sum() * mean for unit in units]
    tangent = sum((w * u for w, u in zip(shares, tangents, strict=True)), torch.zeros(()))
    length = tangent.norm() + 1e-8
    point: torch.Tensor = mean * torch.cos(length) + tangent * torch.sin(length) / length
    size = sum(w * float(vector.norm()) for w, vector in zip(shares, vectors, strict=True))
    return origin + point * size


def karcher(sources: Tensors, steps: int = 200) -> torch.Tensor:
    """The mean on the sphere, by steps along the mean of the logarithms until they are nearly 0."""
    vectors = double(*sources)
    units = [vector / vector.norm() for vector in vectors]
    mean = torch.stack(units).sum(0)
    mean = mean / mean.norm()
    for _ in range(steps):
        logs = []
        for unit in units:
            cosine = (mean * unit).sum().clamp(-1, 1)
            angle = torch.acos(cosine)
            logs.append(angle / angle.sin() * (unit - cosine * mean) if angle > 1e-7 else torch.zeros_like(unit))
        step = torch.stack(logs).mean(0)
        length = step.norm()
        if length < 1e-12:
            break
        mean = torch.cos(length) * mean + torch.sin(length) * step / length
        mean = mean / mean.norm()
    lengths = torch.stack([vector.norm() for vector in vectors])
    found: torch.Tensor = lengths.mean() * mean
    return found


def model_stock(sources: Tensors, base: torch.Tensor, *, by_row: bool = False) -> torch.Tensor:
    """Eq. 2 of the paper, with the mean cosine over pairs."""
    if by_row:
        rows = zip(*sources, base, strict=True)
        return torch.stack([model_stock(row[:-1], row[-1]) for row in rows])
    origin = base.double()
    found = [source - origin for source in double(*sources)]
    cosines = [(a * b).sum() / (a.norm() * b.norm()) for a, b in combinations(found, 2)]
    cosine = torch.stack(cosines).mean()
    share = len(found) * cosine / (1 + (len(found) - 1) * cosine)
    return share * torch.stack(double(*sources)).mean(0) + (1 - share) * origin


def nearswap(source: torch.Tensor, base: torch.Tensor, t: float) -> torch.Tensor:
    """Weight t/|a − b|, at most 1, on the source."""
    a, b = double(base, source)
    weight = (t / (a - b).abs()).clamp(0, 1)
    return weight * b + (1 - weight) * a


def ram(sources: Tensors, base: torch.Tensor, *, r: float = 0.0, alpha: float = 0.0, epsilon: float) -> torch.Tensor:
    """Own changes times 1 + r·min(shared/own, alpha), shared changes averaged over their sources."""
    found = torch.stack([source - base.double() for source in double(*sources)])
    mask = found.abs() > epsilon
    count = mask.sum(0)
    shared = (mask & (count > 1)).flatten(1).sum(1).double()
    alone = (mask & (count == 1)).flatten(1).sum(1).double()
    factors = 1 + r * (shared / alone.clamp(min=1)).clamp(max=alpha)
    total = torch.zeros_like(found[0])
    for delta, own, factor in zip(found, mask, factors, strict=True):
        total += torch.where(own & (count == 1), delta * factor, 0)
        total += torch.where(own & (count > 1), delta / count.clamp(min=1), 0)
    return base.double() + total
