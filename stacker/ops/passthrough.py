"""The op `passthrough`: one source, multiplied by the parameter `scale`, which is 1 by default.

See Kim et al., SOLAR 10.7B (2023), section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Kernel, Op, OpParameter, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(partial(_scale, float(own["scale"])))


def _scale(factor: float, tile: Tile, _statistics: Statistics) -> Array:
    """Multiply one tile of the source by the factor; a factor of 0 turns even NaN and infinities into 0."""
    return tile.backend.combine([factor], tile.sources)


OP = Op(
    name="passthrough",
    summary="one source as it is, or scaled",
    formula="scale · x",
    source="Kim et al., SOLAR 10.7B: depth up-scaling (2023), section 2, arXiv:2312.15166",
    arity=(1, 1),
    parameters=(OpParameter("scale", float, 1.0, "the factor on every element"),),
    make=_make,
)
