"""Sums over a tensor in whatever order its pieces come, and masks that one pass keeps for the next."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.ops.shared.op import Tile
from stacker.run.compute.sums import Accumulator, BoundedMaskCache


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_numbers_are_added_exactly(values: list[float]) -> None:
    """The sum of each column is exact, rounded once."""
    accumulator = Accumulator()
    for order, value in enumerate(values):
        accumulator.add(order, [[value, 1.0]])
    assert accumulator.total() == [math.fsum(values), len(values)]


@given(st.permutations(range(6)))
def test_arrays_are_added_in_the_order_of_the_pieces(order: list[int]) -> None:
    """The rounding is that of adding the pieces in order, whatever order they came in."""
    values = [np.array([10.0 ** (3 * number), -0.1]) for number in range(6)]
    expected = sum(values[1:], values[0])
    accumulator = Accumulator()
    for number in order:
        accumulator.add(number, [], values[number].copy())
    assert accumulator.total().tolist() == expected.tolist()


def test_what_has_no_sum_is_nan() -> None:
    """Sums of infinities of both signs, and sums past the largest number, are nan."""
    accumulator = Accumulator()
    accumulator.add(0, [[math.inf, 1e308], [-math.inf, 1e308]])
    assert all(map(math.isnan, accumulator.total()))


COUNT = 1000


class _Making:
    """Makes random masks and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self._random = np.random.default_rng(1)

    def __call__(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        self.calls += 1
        return self._random.random(COUNT) < 0.5


def tile(start: int) -> Tile:
    """A tile of a thousand elements."""
    return Tile([np.zeros(COUNT, np.float32)], NUMPY, start=start)


def test_a_mask_is_made_once() -> None:
    """A second request for the same tile and source returns the cached mask."""
    kept, make = BoundedMaskCache(), _Making()
    places = [(start, source) for start in (0, COUNT) for source in (0, 1)]
    first = [kept.get(tile(start), source, make) for start, source in places]
    again = [kept.get(tile(start), source, make) for start, source in places]
    assert make.calls == 4
    assert all(one.tolist() == other.tolist() for one, other in zip(first, again, strict=True))
    assert len({one.tobytes() for one in first}) == 4


def test_masks_without_room_are_made_again() -> None:
    """The cache keeps the first masks, one bit an element, and computes the others again."""
    kept, make = BoundedMaskCache(room=2 * COUNT // 8), _Making()
    for _ in range(2):
        for start in range(0, 3 * COUNT, COUNT):
            kept.get(tile(start), 0, make)
    assert make.calls == 4
