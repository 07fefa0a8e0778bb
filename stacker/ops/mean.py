"""The op `mean`: the average of the sources (Wortsman et al., Model soups, ICML 2022: the uniform soup)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Kernel, Op, Statistics, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(_own: Values, _each: Sequence[Values]) -> Kernel:
    return Kernel(_average)


def _average(tile: Tile, _statistics: Statistics) -> Array:
    return tile.backend.combine([1.0 / len(tile.sources)] * len(tile.sources), tile.sources)


OP = Op(
    name="mean",
    summary="the average of any number of sources",
    formula="Σ xᵢ / n",
    source="Wortsman et al., Model soups (ICML 2022), section 2 (the uniform soup), arXiv:2203.05482",
    arity=(1, None),
    parameters=(),
    make=_make,
)
