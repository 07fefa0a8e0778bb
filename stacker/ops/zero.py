"""The op `zero`: one source whose output projections are multiplied by 0, so that its layer becomes an identity.

Such a layer adds nothing to the residual stream. See Wu et al., LLaMA Pro (ACL 2024), section 3.2.
"""

from __future__ import annotations

from stacker.ops import passthrough
from stacker.ops.shared.op import Op, OpParameter

OP = Op(
    name="zero",
    summary="one source with its writes to the residual stream set to 0: an identity layer",
    formula="scale · x, the scale 0 for attn.o, mlp.down and ssm.out",
    source="Wu et al., LLaMA Pro: progressive LLaMA with block expansion (ACL 2024), section 3.2, arXiv:2401.02415",
    arity=(1, 1),
    parameters=(
        OpParameter(
            "scale",
            float,
            1.0,
            "the factor on every element; by default 0 for tensors that write to the residual stream",
            role_defaults=(("attn.o", 0.0), ("mlp.down", 0.0), ("ssm.out", 0.0)),
        ),
    ),
    make=passthrough.OP.make,
)
