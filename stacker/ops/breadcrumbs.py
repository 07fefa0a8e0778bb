"""The ops `breadcrumbs` and `breadcrumbs_ties`: drop the largest and the smallest elements of each delta.

A delta is a source's difference from the base; `breadcrumbs` adds the weighted sum of the remaining elements to the
base, and `breadcrumbs_ties` adds only elements with the sign of that sum. See Davari and Belilovsky, Model breadcrumbs
(ECCV 2024), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Values
from stacker.ops.shared.selection import EXACT_PASSES
from stacker.ops.shared.sparsifiers import KeepMiddle, Sparsifier
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


def _make_middle(_own: Values, values: Values) -> Sparsifier:
    return make_sparsifier(float(values["density"]), lambda density: KeepMiddle(density, float(values["gamma"])))


def _make(own: Values, each: Sequence[Values], *, elect: bool) -> Kernel:
    return make_task_vector_kernel(own, each, _make_middle, elect=elect)


PLAIN = Op(
    name="breadcrumbs",
    summary="drop the largest and the small differences from the base, add up the rest",
    formula="base + λ Σ wᵢdᵢ, dᵢ the density·n largest |xᵢ − base| after its gamma·n very largest",
    source="Davari and Belilovsky, Model breadcrumbs (ECCV 2024), section 3, arXiv:2312.06795",
    arity=(1, None),
    parameters=(
        WEIGHT,
        DENSITY,
        OpParameter(
            "gamma",
            float,
            0.01,
            "the fraction of largest elements that are dropped",
            low=0.0,
            high=1.0,
            per_source=True,
        ),
        LAMBDA,
        normalize_parameter(False),
        rescale_parameter(False),
    ),
    make=partial(_make, elect=False),
    base=Base.REQUIRED,
    passes=(0, EXACT_PASSES + 1),
    count_passes=count_ranking_passes,
    extra_bytes=3,
)
TIES = replace(
    PLAIN,
    name="breadcrumbs_ties",
    summary="drop the largest and the small differences from the base, add up those with the elected sign",
    formula="as breadcrumbs, over sources with the sign of the sum",
    make=partial(_make, elect=True),
)
