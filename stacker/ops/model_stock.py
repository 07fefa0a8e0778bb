"""model_stock: from the base towards the average of the sources, as far as the angles between them say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from stacker.ops.combination import combine, combine_deltas, deltas, gram, on_base, products
from stacker.ops.model import Base, Kernel, Known, Op, OpParameter, Pass, Tile, Values

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 14
"""Elements of each source that are held in fp64 at a time."""
_SINGULAR = 1e-6
"""1 + (N−1)cos θ below which there is no such point, and the base is kept."""


def _make(own: Values, each: Sequence[Values]) -> Kernel:  # noqa: ARG001 - a MakeKernel
    return Kernel(_by_row) if own["filter_wise"] else Kernel(_whole, (Pass(products, _ratio),))


def _ratio(sums: Sequence[float], known: Known) -> float:
    """How far to go, with one mean angle for the whole tensor."""
    import torch

    return float(_share(torch.tensor(gram(sums, known), dtype=torch.float64)))


def _whole(tile: Tile, known: Known) -> torch.Tensor:
    count = len(tile.sources)
    return combine_deltas([known[0] / count] * count, tile)


def _by_row(tile: Tile, known: Known) -> torch.Tensor:  # noqa: ARG001 - an Apply
    import torch

    found = deltas(tile)
    rows, step = [delta.view(-1, tile.row) for delta in found], max(_BLOCK // tile.row, 1)
    blocks = ([each[start : start + step] for each in rows] for start in range(0, len(rows[0]), step))
    share = torch.cat([_share(_tables(block)) for block in blocks]).to(found[0].dtype)
    mean = combine([1.0 / len(found)] * len(found), found)
    mean.view(-1, tile.row).mul_(share[:, None])
    return on_base(mean, tile)


def _tables(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Inner products of each row of the sources, [rows, N, N]."""
    import torch

    wide = torch.stack(list(rows), dim=1).double()
    return wide @ wide.transpose(1, 2)


def _share(table: torch.Tensor) -> torch.Tensor:
    """N cos θ / (1 + (N−1) cos θ), cos θ the mean over pairs, of tables of inner products [..., N, N]."""
    import torch

    count = table.shape[-1]
    norms = table.diagonal(dim1=-2, dim2=-1).sqrt()
    scaled = (table / (norms[..., :, None] * norms[..., None, :])).nan_to_num(0.0).clamp(-1.0, 1.0)
    pairs = list(combinations(range(count), 2))
    cosine = sum((scaled[..., i, j] for i, j in pairs), torch.zeros_like(norms[..., 0])) / len(pairs)
    below = 1.0 + (count - 1) * cosine
    return torch.where(below.abs() < _SINGULAR, 0.0, count * cosine / below)


OP = Op(
    name="model_stock",
    summary="from the base towards the average, by the angle between what the sources add",
    formula="base + t(mean xᵢ − base), t = N cos θ / (1 + (N−1) cos θ)",
    source="Jang et al., Model Stock: all we need is just a few fine-tuned models (ECCV 2024), eq. 2, arXiv:2403.19522",
    arity=(2, None),
    parameters=(OpParameter("filter_wise", bool, False, "an angle for each row instead of one for the tensor"),),
    make=_make,
    scratch=1,
    base=Base.REQUIRED,
    rows=True,
)
