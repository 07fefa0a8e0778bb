"""Sums over a tensor, from many hands in any order, to the same last bit every time.

Numbers are added exactly. Tensors are added in the order of the pieces: one that comes early waits for those before it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Tally:
    """What the tiles of one tensor add up to in one pass."""

    def __init__(self) -> None:
        self._numbers: list[Sequence[float]] = []
        self._sum: torch.Tensor | None = None
        self._early: dict[int, torch.Tensor | None] = {}
        self._next = 0
        self._lock = threading.Lock()

    def add(self, piece: int, parts: Iterable[Sequence[float] | torch.Tensor]) -> None:
        """The sums of a piece's tiles; pieces are numbered from 0, and each comes once."""
        total: torch.Tensor | None = None
        for part in parts:
            if isinstance(part, Sequence):
                self._numbers.append(part)
            else:
                total = part if total is None else total.add_(part)
        with self._lock:
            self._early[piece] = total
            while self._next in self._early:
                self._join(self._early.pop(self._next))
                self._next += 1

    def total(self) -> Any:
        """The sums over all pieces."""
        if self._sum is not None:
            return self._sum
        return [_exact_sum(column) for column in zip(*self._numbers, strict=True)]

    def _join(self, part: torch.Tensor | None) -> None:
        if part is not None:
            self._sum = part if self._sum is None else self._sum.add_(part)


def _exact_sum(parts: Sequence[float]) -> float:
    try:
        return math.fsum(parts)
    except (ValueError, OverflowError):  # infinities of both signs, or a sum beyond the largest number
        return math.nan
