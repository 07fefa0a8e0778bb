"""Holds the state of computing one tensor: its kernels, the results of finished passes, and what its tiles share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacker.core.plan.costs import choose_tile, list_reads
from stacker.core.plan.tasks import Compute
from stacker.core.values.expression import Blend, Expression
from stacker.core.values.expression_parts import find_blends, find_needed_tensors
from stacker.ops.shared.op import Kernel
from stacker.ops.shared.settings import make_kernel
from stacker.ops.table import OPS
from stacker.run.compute.factors import FactorCache
from stacker.run.compute.scratch import Scratch
from stacker.run.compute.sums import BoundedMaskCache
from stacker.run.work.sources import OpenFiles
from stacker.tensors import Dtype


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The state of computing one tensor; `tile` is the number of elements in a tile.

    `kernels` has the kernel of each blend in the tensor's expression, inner blends first. `statistics` has the results
    of each blend's finished passes, and `masks` has masks that later passes use again.
    """

    compute: Compute
    sources: OpenFiles
    kernels: Mapping[Blend, Kernel]
    statistics: dict[Blend, list[Any]]
    masks: Mapping[Blend, BoundedMaskCache]
    tile: int
    factors: FactorCache

    def passes(self) -> Iterator[tuple[Blend, int]]:
        """All passes over the tensor as pairs (blend, number of the pass), in the order in which they must be made."""
        return ((blend, number) for blend, kernel in self.kernels.items() for number in range(len(kernel.passes)))

    def bytes_read(self) -> int:
        """How many donor bytes are read to compute the tensor; every pass reads the donors' tensors again."""
        refs = (ref for reading in list_reads(self.compute.expression) for ref in find_needed_tensors(reading))
        places = (self.compute.places[ref] for ref in refs)
        return sum(min(place.dtype.nbytes(self.compute.elements), place.nbytes) for place in places)

    def finish_pass(self, blend: Blend, number: int, total: Any) -> None:
        """Turn the sums of pass `number` of a blend into the statistic that later passes and the kernel's `apply` use.

        `total` has the sums over all tiles.
        """
        statistics = self.statistics[blend]
        statistics.append(self.kernels[blend].passes[number].finish(total, statistics))


@dataclass(frozen=True, slots=True)
class TileRange:
    """Elements [start, start + count) of a tensor, at most one tile, and the scratch memory to compute them in."""

    evaluation: Evaluation
    scratch: Scratch
    start: int
    count: int

    @property
    def kind(self) -> Dtype:
        """The dtype in which values are computed: fp32 or fp64."""
        return Dtype.F64 if self.evaluation.compute.wide else Dtype.F32


def begin_evaluation(compute: Compute, sources: OpenFiles) -> Evaluation:
    """Prepare to compute a tensor: make the kernels of its blends and choose the tile size; nothing is read yet."""
    kernels = make_kernels(compute.expression)
    tile = choose_tile(compute.expression, compute.row)
    return Evaluation(
        compute,
        sources,
        kernels,
        {blend: [] for blend in kernels},
        {blend: BoundedMaskCache() for blend in kernels},
        tile,
        FactorCache(),
    )


def make_kernels(expression: Expression) -> dict[Blend, Kernel]:
    """The kernel of each blend in an expression; inner blends come before the blends that contain them.

    Equal blends share one kernel.
    """
    return {
        blend: make_kernel(OPS[blend.op], dict(blend.parameters), blend.source_values())
        for blend in find_blends(expression)
    }
