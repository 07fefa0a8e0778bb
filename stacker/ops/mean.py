"""mean: the plain average of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stacker.ops.shared.op import Kernel, Known, Op, Tile, Values

if TYPE_CHECKING:
    from stacker.arithmetic.backend import Array


def _make(own: Values, each: Sequence[Values]) -> Kernel:  # noqa: ARG001 - a MakeKernel
    return Kernel(_average)


def _average(tile: Tile, known: Known) -> Array:  # noqa: ARG001 - an Apply
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
