"""Says how a factor on the residual stream (a hop) is folded into the weights of the layers behind it.

If x is the residual stream and P the product of all hops so far, the new model stores x / P. Layers read the stream
through norms, which do not see P (except for their epsilon), so only what layers write has to be divided by P.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import FOLDS, Architecture, Config, Fold
from stacker.arch.files.formula import FormulaError
from stacker.arch.files.roles import NORMED_BY, SUFFIXES, strip_role_suffixes
from stacker.arch.placement import replace_expert_number

KEPT = FOLDS["keep"]
_WRITERS = dict.fromkeys(("attn.o", "mlp.down", "ssm.out", "norm.post_attn", "norm.post_mlp"), FOLDS["divide"])
"""The roles of tensors that write to the residual stream, unless a norm of the same layer follows them."""
_READ_THROUGH = {"attn": "norm.input", "mlp": "norm.pre_mlp", "router": "norm.pre_mlp"}
"""The norm through which tensors read the residual stream, by the first part of their roles, in layers that have it."""


def find_fold(architecture: Architecture, name: str, role: str, roles: Collection[str]) -> Fold:
    """How hops change a tensor of a layer: as the architecture file says, otherwise by the general rule for its role.

    `name` lacks the layer prefix, and `roles` are the roles of all tensors of the layer.
    """
    bare = strip_role_suffixes(role)
    known = _WRITERS | dict(architecture.hop)
    if NORMED_BY.get(bare) in roles and bare not in dict(architecture.hop):
        known.pop(bare, None)
    fold = next((known[key] for key in (name, replace_expert_number(name), *_list_heads(role)) if key in known), KEPT)
    if fold.power > 0 and (role.endswith(".bias") or _READ_THROUGH.get(bare.partition(".")[0]) in roles):
        return KEPT
    return replace(fold, offset=0.0) if role.endswith(".bias") else fold


def _list_heads(role: str) -> Iterator[str]:
    """Yield a role, then the role without its endings, one by one: `mlp.down.expert.bias`, ..., `mlp.down`."""
    yield role
    for suffix in reversed(SUFFIXES):
        if role.endswith(f".{suffix}"):
            role = role.removesuffix(f".{suffix}")
            yield role


def find_hop_refusals(architecture: Architecture, config: Config, hop_at: int) -> Iterator[str]:
    """Yield each reason why a model with this config cannot have hops.

    `hop_at` is the index of the first output layer with a hop.
    """
    if architecture.inferred:
        yield "what its layers write to the residual stream is not known, because the family has no architecture file"
    names = collect_names(architecture, config) | {"hop_at": hop_at}
    for condition, reason in architecture.no_hop:
        try:
            if condition.value(names):
                yield reason
        except FormulaError:
            continue
