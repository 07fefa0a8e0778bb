"""breadcrumbs and breadcrumbs_ties: changes neither largest nor small, added up or elected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Values
from stacker.ops.shared.selection import EXACT_PASSES
from stacker.ops.shared.sparsifiers import Middle, Sparsifier
from stacker.ops.shared.task_vectors import (
    DENSITY,
    LAMBDA,
    WEIGHT,
    count_ranking_passes,
    make_family,
    normalize,
    rescale,
    sparsifier,
)


def _middle(own: Values, values: Values) -> Sparsifier:  # noqa: ARG001 - for make_family
    return sparsifier(float(values["density"]), lambda density: Middle(density, float(values["gamma"])))


def _make(own: Values, each: Sequence[Values], *, elect: bool) -> Kernel:
    return make_family(own, each, _middle, elect=elect)


PLAIN = Op(
    name="breadcrumbs",
    summary="leave out the very largest and the small changes, add up the rest",
    formula="base + λ Σ wᵢdᵢ, dᵢ the density·n largest |xᵢ − base| after its gamma·n very largest",
    source="Davari and Belilovsky, Model breadcrumbs (ECCV 2024), section 3, arXiv:2312.06795",
    arity=(1, None),
    parameters=(
        WEIGHT,
        DENSITY,
        OpParameter("gamma", float, 0.01, "the share of the very largest left out", low=0.0, high=1.0, per_source=True),
        LAMBDA,
        normalize(False),
        rescale(False),
    ),
    make=partial(_make, elect=False),
    base=Base.REQUIRED,
    passes=(0, EXACT_PASSES + 1),
    count_passes=count_ranking_passes,
    fresh=3,
)
TIES = replace(
    PLAIN,
    name="breadcrumbs_ties",
    summary="leave out the very largest and the small changes, add up what agrees with the elected sign",
    formula="as breadcrumbs, over sources with the sign of the sum",
    make=partial(_make, elect=True),
)
