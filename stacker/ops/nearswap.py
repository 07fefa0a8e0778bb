"""The op `nearswap`: base + d for one source x, where each element of d = x − base is clamped to [−t, t].

See alchemonaut, QuartetAnemoi (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.combination import add_base, subtract_base
from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_clamp_delta, float(own["t"])))


def _clamp_delta(t: float, tile: Tile, _statistics: Statistics) -> Array:
    """Blend one tile: add d = x − base, clamped to [−t, t], to the base.

    The published formula d · min(t/|d|, 1) is equal to clamping d.
    """
    (delta,) = subtract_base(tile)
    return add_base(tile.backend.clamp(delta, t), tile)


OP = Op(
    name="nearswap",
    summary="the base moved towards one source by at most t in each element",
    formula="base + w(x − base), w = min(t / |x − base|, 1)",
    source="alchemonaut, QuartetAnemoi-70B-t0.0001 (2024), model card",
    arity=(1, 1),
    parameters=(OpParameter("t", float, None, "the greatest change of an element", low=0.0),),
    make=_make,
    base=Base.REQUIRED,
)
