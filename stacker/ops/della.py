"""The ops `della_linear` and `della`: drop elements of each delta at random, small elements of a row more often.

A delta is a source's difference from the base; `della_linear` adds the weighted sum of the deltas to the base, and
`della` averages only elements with the sign of that sum. See Deep et al., DELLA-Merging (2024), section 3 (MagPrune).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from stacker.ops.shared.op import Base, Kernel, Op, OpParameter, Values
from stacker.ops.shared.sparsifiers import RankedDropout, Sparsifier
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


def _make_ranked_dropout(own: Values, values: Values) -> Sparsifier:
    epsilon, seed = float(values["epsilon"]), int(own["seed"])
    return make_sparsifier(float(values["density"]), lambda density: RankedDropout(density, epsilon, seed))


def _make(own: Values, each: Sequence[Values], *, elect: bool) -> Kernel:
    return make_task_vector_kernel(own, each, _make_ranked_dropout, elect=elect)


def _check(_own: Values, each: Sequence[Values]) -> Iterator[str]:
    for density, epsilon in {(float(values["density"]), float(values["epsilon"])) for values in each}:
        if 0.0 < density < 1.0 and not (density - epsilon > 0.0 and density + epsilon < 1.0):
            yield f"density {density:g} ± epsilon {epsilon:g} is not between 0 and 1"


LINEAR = Op(
    name="della_linear",
    summary="drop differences from the base at random, small ones more often, rescale the rest, add them up",
    formula="as dare_linear, with probability density − epsilon to density + epsilon by the rank of |d| in its row",
    source="Deep et al., DELLA-Merging (2024), section 3 (MagPrune), arXiv:2406.11617",
    arity=(1, None),
    parameters=(
        WEIGHT,
        DENSITY,
        OpParameter(
            "epsilon",
            float,
            0.15,
            "how far the probability may lie above or below the density",
            low=0.0,
            high=0.5,
            per_source=True,
        ),
        LAMBDA,
        normalize_parameter(False),
        rescale_parameter(True),
        SEED,
    ),
    make=partial(_make, elect=False),
    base=Base.REQUIRED,
    passes=(0, 1),
    count_passes=count_rescaling_passes,
    extra_bytes=17,
    caches_masks=True,
    whole_rows=True,
    check=_check,
)
TIES = replace(
    LINEAR,
    name="della",
    summary="drop differences from the base at random, small ones more often, average those with the elected sign",
    formula="as della_linear, over sources with the sign of the sum, divided by their weights",
    parameters=tuple(normalize_parameter(True) if each.name == "normalize" else each for each in LINEAR.parameters),
    make=partial(_make, elect=True),
)
