"""The op `ties`: keeps the largest elements of each delta and merges only elements with the elected sign.

A delta is a source's difference from the base, and the elected sign of an element is the sign of the weighted sum of
all deltas. See Yadav et al., TIES-Merging (NeurIPS 2023), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from stacker.ops.shared.op import Base, Kernel, Op, Values
from stacker.ops.shared.selection import EXACT_PASSES
from stacker.ops.shared.sparsifiers import KeepLargest, Sparsifier
from stacker.ops.shared.task_vectors import (
    DENSITY,
    LAMBDA,
    WEIGHT,
    count_ranking_passes,
    make_sparsifier,
    make_task_vector_kernel,
    normalize_parameter,
    rescale_parameter,
)


def _make_trim(_own: Values, values: Values) -> Sparsifier:
    return make_sparsifier(float(values["density"]), KeepLargest)


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    return make_task_vector_kernel(own, each, _make_trim, elect=True)


OP = Op(
    name="ties",
    summary="keep the largest differences from the base, elect signs, average those that agree",
    formula="base + λ Σ wᵢdᵢ / Σ wᵢ over sources with the sign of Σ wᵢdᵢ, dᵢ its density·n largest |xᵢ − base|",
    source="Yadav et al., TIES-Merging (NeurIPS 2023), algorithm 1, arXiv:2306.01708",
    arity=(1, None),
    parameters=(WEIGHT, DENSITY, LAMBDA, normalize_parameter(True), rescale_parameter(False)),
    make=_make,
    base=Base.REQUIRED,
    passes=(0, EXACT_PASSES + 1),
    count_passes=count_ranking_passes,
    extra_bytes=2,
)
