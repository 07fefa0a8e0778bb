"""The table of all ops by name; a new op needs a new module and a line in this table."""

from __future__ import annotations

from stacker.ops import (
    arcee_fusion,
    breadcrumbs,
    dare,
    della,
    karcher,
    linear,
    mean,
    model_stock,
    multislerp,
    nearswap,
    nuslerp,
    passthrough,
    ram,
    sce,
    slerp,
    task_arithmetic,
    ties,
    wise_ft,
    zero,
)
from stacker.ops.shared.op import Op

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        passthrough.OP,
        zero.OP,
        linear.OP,
        mean.OP,
        wise_ft.OP,
        slerp.OP,
        nuslerp.OP,
        multislerp.OP,
        karcher.OP,
        task_arithmetic.OP,
        ties.OP,
        dare.LINEAR,
        dare.TIES,
        della.LINEAR,
        della.TIES,
        breadcrumbs.PLAIN,
        breadcrumbs.TIES,
        sce.OP,
        model_stock.OP,
        nearswap.OP,
        arcee_fusion.OP,
        ram.OP,
        ram.PLUS,
    )
}
