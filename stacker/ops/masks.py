"""Elements chosen by whole int32 numbers: -1, all bits set, where an element is kept, 0 where it is dropped.

Measured, a comparison to bool takes 0.4 ns an element and what is done with the bool 0.2 to 3; a difference, a shift
and an `and` take 0.2 together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MOST = (1 << 31) - 1
"""The greatest number that `below` compares, and all bits but the sign's."""


def bits_of(values: torch.Tensor) -> torch.Tensor:
    """Magnitudes as integers in the same order, in new memory; NaN comes after infinity."""
    import torch

    return values.to(torch.float32).abs().view(torch.int32)


def below(numbers: torch.Tensor, bound: torch.Tensor | int) -> torch.Tensor:
    """Which are less than the bound, itself or element by element; neither is negative."""
    return (numbers - bound).bitwise_right_shift_(31)


def above(numbers: torch.Tensor, bound: int) -> torch.Tensor:
    """Which are more than the bound; no number is negative, the bound at least -1."""
    return (bound - numbers).bitwise_right_shift_(31)


def chosen(where: torch.Tensor) -> torch.Tensor:
    """What a comparison gave, as a mask."""
    import torch

    return where.to(torch.int32).neg_()


def keep(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The values with 0 outside the mask, in their own memory; NaN and infinities there go too."""
    bits = _as_bits(values)
    bits.bitwise_and_(mask.to(bits.dtype))
    return values


def negative(values: torch.Tensor) -> torch.Tensor:
    """Which have their sign bit set, a mask as wide as the values, in their memory."""
    bits = _as_bits(values)
    return bits.bitwise_right_shift_(8 * bits.element_size() - 1)


def swap_in(values: torch.Tensor, others: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The values, and inside a mask as wide as they are the others; both are overwritten."""
    bits, other = _as_bits(values), _as_bits(others)
    bits.bitwise_xor_(other.bitwise_xor_(bits).bitwise_and_(mask))
    return values


def _as_bits(values: torch.Tensor) -> torch.Tensor:
    import torch

    return values.view(torch.int64 if values.dtype is torch.float64 else torch.int32)
