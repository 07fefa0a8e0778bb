"""Implements the array operations with torch on a GPU; only the rounding of sums may differ from the CPU backend.

A mask is an int32 tensor: -1 (all bits set) for each marked element, 0 for each element that is not marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import torch

from stacker.arithmetic.backend import EPSILON, HASH_FACTORS, INT31_MAX, LOWER_BINS, UPPER_BINS
from stacker.tensors import Dtype

if TYPE_CHECKING:
    import numpy as np

_LARGEST_E4M3 = 448.0
_ROWS = 1 << 14
"""How many elements `row_divergences` converts to fp64 at a time, if a row is not longer."""


class TorchBackend:
    """Implements `Backend` on one torch device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def array(self, memory: torch.Tensor, dtype: Dtype) -> torch.Tensor:
        return memory.view(getattr(torch, dtype.torch_name))

    def convert(self, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if target.dtype is torch.float8_e4m3fn:  # it has no infinity
            source = source.clamp(-_LARGEST_E4M3, _LARGEST_E4M3)
        if source.dtype is torch.float64 and target.dtype not in (torch.float64, torch.float32):
            source = _round_to_odd(source)
        return target.copy_(source)

    def fill(self, array: torch.Tensor, value: float) -> torch.Tensor:
        return array.fill_(_scalar(array, value))

    def to_numpy(self, total: torch.Tensor) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = total.cpu().numpy()
        return found

    def combine(
        self, factors: Sequence[float], arrays: Sequence[torch.Tensor], base: torch.Tensor | None = None
    ) -> torch.Tensor:
        used = [(array, factor) for array, factor in zip(arrays, factors, strict=True) if factor]
        if base is not None:
            self.subtract([array for array, _ in used], base)
        if not used:
            return arrays[0].zero_() if base is None else arrays[0].copy_(base)
        result, factor = used[0]
        result.mul_(factor)
        for array, weight in used[1:]:
            result.add_(array, alpha=_scalar(array, weight))
        if base is not None:
            result.add_(base)
        return result if result is arrays[0] else arrays[0].copy_(result)

    def subtract(self, arrays: Sequence[torch.Tensor], base: torch.Tensor) -> Sequence[torch.Tensor]:
        return [array.sub_(base) for array in arrays]

    def add(self, array: torch.Tensor, other: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        return array.add_(other, alpha=_scalar(array, factor))

    def clamp(self, array: torch.Tensor, most: float) -> torch.Tensor:
        most = _scalar(array, most)
        return array.clamp_(-most, most)

    def inner_products(self, arrays: Sequence[torch.Tensor]) -> list[float]:
        wide = [array.double() for array in arrays]
        return torch.stack([one.dot(other) for one, other in _list_pairs(wide)]).tolist()

    def row_inner_products(self, arrays: Sequence[torch.Tensor], row: int) -> np.ndarray[Any, Any]:
        wide = [array.view(-1, row).double() for array in arrays]
        return self.to_numpy(torch.stack([(one * other).sum(1) for one, other in _list_pairs(wide)]))

    def column_inner_products(
        self, arrays: Sequence[torch.Tensor], row: int, total: torch.Tensor | None
    ) -> torch.Tensor:
        wide = [array.view(-1, row).double() for array in arrays]
        found = torch.stack([(one * other).sum(0) for one, other in _list_pairs(wide)])
        return found if total is None else total.add_(found)

    def combine_rows(self, factors: np.ndarray[Any, Any], arrays: Sequence[torch.Tensor], row: int) -> torch.Tensor:
        return self._combine(torch.as_tensor(factors).to(arrays[0])[:, :, None], arrays, row)

    def combine_columns(self, factors: np.ndarray[Any, Any], arrays: Sequence[torch.Tensor], row: int) -> torch.Tensor:
        return self._combine(torch.as_tensor(factors).to(arrays[0]), arrays, row)

    def _combine(self, factors: torch.Tensor, arrays: Sequence[torch.Tensor], row: int) -> torch.Tensor:
        result = arrays[0].view(-1, row).mul_(factors[0])
        for array, own in zip(arrays[1:], factors[1:], strict=True):
            result.add_(array.view(-1, row) * own)
        return arrays[0]

    def gather(
        self,
        array: torch.Tensor,
        start: int,
        steps: tuple[int, int, int],
        shape: tuple[int, int, int],
        padded: tuple[int, int, int],
    ) -> torch.Tensor:
        made = torch.zeros(padded, dtype=array.dtype, device=self._device)
        made[: shape[0], : shape[1], : shape[2]] = array.as_strided(shape, steps, start)
        return made

    def add_product(
        self, array: torch.Tensor, left: torch.Tensor, right: torch.Tensor, factor: float, start: int
    ) -> torch.Tensor:
        width = right.shape[1]
        first, last = start // width, -(-(start + array.numel()) // width)
        product = (left[first:last] @ right).view(-1)
        return array.add_(product[start - first * width :][: array.numel()], alpha=_scalar(array, factor))

    def zero_counters(self, *shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=self._device)

    def count_upper(self, key: torch.Tensor, counters: torch.Tensor) -> None:
        bits = _bits_of(key)
        counters[:-1] += (bits >> 15).bincount(minlength=UPPER_BINS)
        counters[-1] += bits.count_nonzero()

    def count_lower(self, key: torch.Tensor, upper: int, counters: torch.Tensor) -> None:
        low = _bits_of(key) ^ (upper << 15)  # less than LOWER_BINS where the upper bits equal `upper`
        # The other elements go to unused bins; counting them all in one bin takes four times as long.
        place = torch.minimum(low, (low >> 15).add_(LOWER_BINS))
        counters += place.bincount(minlength=LOWER_BINS + UPPER_BINS)[:LOWER_BINS]

    def count_equal(self, key: torch.Tensor, bits: int) -> int:
        return len(key) - int((_bits_of(key) ^ bits).count_nonzero())

    def mask_above(self, key: torch.Tensor, bits: int, taken: int, equal: int) -> torch.Tensor:
        found = _bits_of(key)
        mask = ((bits - 1 if 0 < taken == equal else bits) - found).bitwise_right_shift_(31)
        if 0 < taken < equal:
            same = found == bits
            mask.bitwise_or_(_to_mask(same & (same.cumsum(0) <= taken)))
        return mask

    def empty_mask(self, array: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(array, dtype=torch.int32)

    def mask_at_least(self, array: torch.Tensor, bound: float) -> torch.Tensor:
        return _to_mask(array >= bound)

    def subtract_mask(self, mask: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return mask.bitwise_and_(~other)

    def apply_mask(self, array: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        bits = array.view(torch.int64 if array.dtype is torch.float64 else torch.int32)
        bits.bitwise_and_(mask.to(bits.dtype))
        return array

    def pack_mask(self, mask: torch.Tensor) -> torch.Tensor:
        return mask.to(torch.int8)

    def unpack_mask(self, packed: torch.Tensor, count: int) -> torch.Tensor:
        return packed[:count].to(torch.int32)

    def sum_magnitudes(self, array: torch.Tensor, mask: torch.Tensor) -> tuple[float, float]:
        size = array.abs()
        return float(size.sum(dtype=torch.float64)), float(self.apply_mask(size, mask).sum(dtype=torch.float64))

    def hash_indices(self, count: int, spans: Sequence[tuple[int, int, int, int]]) -> torch.Tensor:
        drawn = torch.arange(count, dtype=torch.int32, device=self._device)
        after = torch.empty_like(drawn)
        start = 0
        for size, first, key, last in spans:
            drawn[start : start + size].add_(first - start).bitwise_xor_(key)
            after[start : start + size] = last
            start += size
        return _hash(drawn).bitwise_xor_(after)

    def mask_below(self, numbers: torch.Tensor, bound: int | torch.Tensor) -> torch.Tensor:
        return (numbers - bound).bitwise_right_shift_(31)

    def look_up_by_rank(self, array: torch.Tensor, row: int, values: np.ndarray[Any, Any]) -> torch.Tensor:
        order = _bits_of(array).view(-1, row).argsort(dim=1, stable=True)
        ranked = torch.as_tensor(values).to(self._device).expand_as(order)
        return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, ranked).view(-1)

    def merge_elected(
        self,
        arrays: Sequence[torch.Tensor],
        votes: Sequence[float],
        factors: Sequence[float],
        weights: Sequence[float] | None,
    ) -> torch.Tensor:
        cast = [array.mul_(vote) for array, vote in zip(arrays, votes, strict=True)]
        up = _add_up(cast) >= 0
        result, divisor = torch.zeros_like(cast[0]), torch.zeros_like(cast[0])
        for number, (array, factor) in enumerate(zip(cast, factors, strict=True)):
            along = torch.where(up, array, -array).relu_()
            result.add_(along, alpha=_scalar(along, factor))
            if weights:
                divisor.add_((along > 0).to(along.dtype), alpha=_scalar(along, weights[number]))
        result.div_(divisor.masked_fill_(divisor == 0, 1.0))
        return arrays[0].copy_(torch.where(up, result, 0.0 - result))

    def variance(self, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        mean = _add_up(arrays).div_(len(arrays))
        return _add_up([(array - mean).square_() for array in arrays]).div_(len(arrays))

    def count_changes(self, arrays: Sequence[torch.Tensor], least: float) -> list[float]:
        masks = [array.abs() > least for array in arrays]
        many = torch.stack(masks).sum(0)
        return [float((mask & chosen).sum()) for chosen in (many > 1, many == 1) for mask in masks]

    def merge_changes(self, arrays: Sequence[torch.Tensor], least: float, alone: Sequence[float]) -> torch.Tensor:
        masks = [array.abs() > least for array in arrays]
        many, total = torch.stack(masks).sum(0), torch.zeros_like(arrays[0])
        several = many.clamp(min=1).to(total.dtype).reciprocal_()
        for array, mask, factor in zip(arrays, masks, alone, strict=True):
            scale = several.masked_fill(many == 1, _scalar(array, factor))
            total += self.apply_mask(array, _to_mask(mask)).mul_(scale)
        return arrays[0].copy_(total)

    def row_divergences(self, array: torch.Tensor, other: torch.Tensor, row: int) -> np.ndarray[Any, Any]:
        step = max(_ROWS // row, 1)
        rows, origin = array.view(-1, row), other.view(-1, row)
        parts = [_divergence(rows[i : i + step], origin[i : i + step]) for i in range(0, len(rows), step)]
        return self.to_numpy(torch.cat(parts))


def _scalar(array: torch.Tensor, value: float) -> float:
    """Round `value` to the dtype of `array`; a value too large for the dtype becomes infinite."""
    return float(torch.tensor(value, dtype=array.dtype))


def _list_pairs(arrays: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """List the pairs (arrays[i], arrays[j]) for all i ≤ j, ordered by i, then by j."""
    return list(combinations_with_replacement(arrays, 2))


def _add_up(arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    """Add up the arrays in order, in a new tensor."""
    found = arrays[0].clone()
    for array in arrays[1:]:
        found.add_(array)
    return found


def _bits_of(values: torch.Tensor) -> torch.Tensor:
    """Return the bits of |x| in fp32 as a new int32 tensor: the greater |x|, the greater the int32; NaN is greatest."""
    return values.to(torch.float32).abs().view(torch.int32)


def _to_mask(where: torch.Tensor) -> torch.Tensor:
    """Convert a bool tensor to a mask that marks the elements that are true."""
    return where.to(torch.int32).neg_()


def _hash(bits: torch.Tensor) -> torch.Tensor:
    """Hash the numbers of an int32 tensor in place, with the hash function of `masks.hash_indices` but no keys."""
    for by, factor in zip((16, 15), HASH_FACTORS, strict=True):
        bits ^= bits >> by
        bits.mul_(factor - (factor >> 31 << 32)).bitwise_and_(INT31_MAX)
    return bits.bitwise_xor_(bits >> 16)


def _divergence(rows: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Compute for each row the KL divergence of its softmax from the softmax of the row of `origin` at the same index.

    A divergence that is negative because of rounding becomes 0.
    """
    p, q = (each.double().softmax(1).add_(EPSILON) for each in (rows, origin))
    return p.mul_((p / q).log_()).sum(1).clamp_(min=0.0)


def _round_to_odd(tile: torch.Tensor) -> torch.Tensor:
    """Convert fp64 to fp32 in a new tensor, rounded toward 0, with the lowest bit of every inexact number set.

    After this step, rounding to a type with fewer bits has the same result as rounding from fp64 directly.
    """
    near = tile.float()
    toward_zero = torch.where(near.double().abs() > tile.abs(), near.nextafter(near.new_zeros(())), near)
    inexact = (near.double() != tile).int()
    return (toward_zero.view(torch.int32) | inexact).view(torch.float32)
