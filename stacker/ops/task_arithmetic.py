"""The op `task_arithmetic`: the base plus a weighted sum of the sources' differences from the base.

See Ilharco et al., Editing models with task arithmetic (ICLR 2023), section 2.
"""

from __future__ import annotations

from collections.abc import Sequence

from stacker.ops.shared.op import Base, Kernel, Op, Values
from stacker.ops.shared.sparsifiers import KeepAll
from stacker.ops.shared.task_vectors import LAMBDA, WEIGHT, make_task_vector_kernel, normalize_parameter


def _make(own: Values, each: Sequence[Values]) -> Kernel:
    return make_task_vector_kernel(own, each, lambda _own, _values: KeepAll(), elect=False)


OP = Op(
    name="task_arithmetic",
    summary="the base plus a weighted sum of the sources' differences from it",
    formula="base + λ Σ wᵢdᵢ, dᵢ = xᵢ − base; with normalize divided by Σ wᵢ",
    source="Ilharco et al., Editing models with task arithmetic (ICLR 2023), section 2, arXiv:2212.04089",
    arity=(1, None),
    parameters=(WEIGHT, LAMBDA, normalize_parameter(False)),
    make=_make,
    base=Base.REQUIRED,
)
