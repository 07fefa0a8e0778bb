"""Masks kept between passes: the same masks, made once as far as there is room."""

from __future__ import annotations

import numpy as np

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.ops.shared.op import Tile
from stacker.run.compute.sums import KeptMasks

COUNT = 1000


class _Making:
    """Masks at random, and how often one was made."""

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
    """Later passes get the same one, by tile and by source."""
    kept, make = KeptMasks(), _Making()
    places = [(start, source) for start in (0, COUNT) for source in (0, 1)]
    first = [kept.get(tile(start), source, make) for start, source in places]
    again = [kept.get(tile(start), source, make) for start, source in places]
    assert make.calls == 4
    assert all(one.tolist() == other.tolist() for one, other in zip(first, again, strict=True))
    assert len({one.tobytes() for one in first}) == 4


def test_what_there_is_no_room_for_is_made_again() -> None:
    """The first ones stay, and the room is what bits take."""
    kept, make = KeptMasks(room=2 * COUNT // 8), _Making()
    for _ in range(2):
        for start in range(0, 3 * COUNT, COUNT):
            kept.get(tile(start), 0, make)
    assert make.calls == 4
