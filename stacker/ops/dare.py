"""The ops `dare_linear` and `dare_ties`: drop elements of each delta at random and rescale the remaining elements.

A delta is a source's difference from the base; `dare_linear` adds the weighted sum of the deltas to the base, and
`dare_ties` adds only elements with the sign of that sum. See Yu et al., Language models are super mario (ICML 2024),
section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from stacker.ops.shared.op import Base, Kernel, Op, Values
from stacker.ops.shared.sparsifiers import Dropout, Sparsifier
from stacker.ops.shared.task_vectors import (
    DENSITY,
    LAMBDA,
    SEED,
    WEIGHT,
    count_rescaling_passes,
    make_sparsifier,
    make_task_vector_kernel,
    normalize_parameter,
    rescale_parameter,
)


def _make_dropout(own: Values, values: Values) -> Sparsifier:
    return make_sparsifier(float(values["density"]), lambda density: Dropout(density, int(own["seed"])))


def _make(own: Values, each: Sequence[Values], *, elect: bool) -> Kernel:
    return make_task_vector_kernel(own, each, _make_dropout, elect=elect)


LINEAR = Op(
    name="dare_linear",
    summary="drop differences from the base at random, rescale the rest, add them up",
    formula="base + λ Σ wᵢsᵢ(mᵢ ⊙ dᵢ), mᵢ Bernoulli(density), sᵢ = Σ|dᵢ| / Σ|mᵢ ⊙ dᵢ|",
    source="Yu et al., Language models are super mario (ICML 2024), section 3, arXiv:2311.03099",
    arity=(1, None),
    parameters=(WEIGHT, DENSITY, LAMBDA, normalize_parameter(False), rescale_parameter(True), SEED),
    make=partial(_make, elect=False),
    base=Base.REQUIRED,
    passes=(0, 1),
    count_passes=count_rescaling_passes,
    extra_bytes=5,
)
TIES = replace(
    LINEAR,
    name="dare_ties",
    summary="drop differences from the base at random, rescale the rest, add up those with the elected sign",
    formula="as dare_linear, over sources with the sign of the sum",
    make=partial(_make, elect=True),
)
