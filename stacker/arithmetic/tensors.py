"""What the device's arithmetic does with single tensors: as the functions compiled for the processor, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch

from stacker.arithmetic.backend import EPSILON, HASH_FACTORS, INT31_MAX


def pairs(arrays: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """i ≤ j"""
    return list(combinations_with_replacement(arrays, 2))


def added(arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    """One after the other, in new memory."""
    found = arrays[0].clone()
    for array in arrays[1:]:
        found.add_(array)
    return found


def bits_of(values: torch.Tensor) -> torch.Tensor:
    """Magnitudes as integers in the same order, in new memory; NaN comes after infinity."""
    return values.to(torch.float32).abs().view(torch.int32)


def chosen(where: torch.Tensor) -> torch.Tensor:
    """What a comparison gave, as a mask."""
    return where.to(torch.int32).neg_()


def mixed(bits: torch.Tensor) -> torch.Tensor:
    """As `draws.mix`; the factors are those of int32."""
    for by, factor in zip((16, 15), HASH_FACTORS, strict=True):
        bits ^= bits >> by
        bits.mul_(factor - (factor >> 31 << 32)).bitwise_and_(INT31_MAX)
    return bits.bitwise_xor_(bits >> 16)


def divergence(rows: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """KL of two distributions, row by row; rounding apart it is not negative."""
    p, q = (each.double().softmax(1).add_(EPSILON) for each in (rows, origin))
    return p.mul_((p / q).log_()).sum(1).clamp_(min=0.0)


def rounded_to_odd(tile: torch.Tensor) -> torch.Tensor:
    """As `narrow.round_to_odd`."""
    near = tile.float()
    toward_zero = torch.where(near.double().abs() > tile.abs(), near.nextafter(near.new_zeros(())), near)
    inexact = (near.double() != tile).int()
    return (toward_zero.view(torch.int32) | inexact).view(torch.float32)
