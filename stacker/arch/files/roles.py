"""Defines tensor roles: names for the purpose of a tensor that are the same in all model families.

Specs select tensors by role. The role of a routed expert's tensor ends in `.expert`, that of a shared expert's tensor
in `.shared`, and that of a bias in `.bias`; selecting `mlp.down` also selects roles such as `mlp.down.expert`.
"""

from __future__ import annotations

ROLES: dict[str, str] = {
    "embed": "token embedding",
    "embed.position": "learned position embedding",
    "embed.norm": "norm after the embedding",
    "embed.other": "anything else before the layers",
    "norm.input": "norm before attention (or before the mixer)",
    "norm.post_attn": "norm of what attention writes, before it joins the residual stream",
    "norm.pre_mlp": "norm before the feed-forward part",
    "norm.post_mlp": "norm of what the feed-forward part writes, before it joins the residual stream",
    "norm.residual": "norm of the residual stream itself, after a sublayer joined it",
    "norm.other": "any other norm of a layer",
    "attn.q": "query projection",
    "attn.k": "key projection",
    "attn.v": "value projection",
    "attn.qkv": "query, key and value projections in one",
    "attn.kv": "key and value projections in one",
    "attn.o": "output projection of attention",
    "attn.q_a": "query projection to the latent (low-rank attention)",
    "attn.q_b": "query projection from the latent",
    "attn.kv_a": "key and value projection to the latent",
    "attn.kv_b": "key and value projection from the latent",
    "attn.q_norm": "norm of queries",
    "attn.k_norm": "norm of keys",
    "attn.norm": "norm inside attention, of latents or before the output",
    "attn.gate": "gate on what attention writes",
    "attn.sink": "attention sink logits",
    "attn.other": "anything else of attention",
    "mlp.gate": "gate projection",
    "mlp.up": "up projection",
    "mlp.gate_up": "gate and up projections in one",
    "mlp.down": "down projection",
    "mlp.norm": "norm inside the feed-forward part",
    "mlp.other": "anything else of the feed-forward part",
    "router": "which experts a token goes to",
    "ssm.in": "input projections of a state-space or linear-attention mixer",
    "ssm.conv": "short convolution of such a mixer",
    "ssm.state": "decay, time step and skip parameters of such a mixer",
    "ssm.norm": "norms of such a mixer",
    "ssm.out": "output projection of such a mixer",
    "norm.final": "norm after the last layer",
    "head": "output projection to the vocabulary",
    "head.other": "anything else after the layers",
    "other": "a tensor of a layer that is carried along, its purpose unknown",
}
"""Every role without endings, with its meaning."""

SUFFIXES = ("expert", "shared", "bias")
"""The endings that may follow a role, in the order in which they follow."""

NORMED_BY: dict[str, str] = {
    "attn.q": "attn.q_norm",
    "attn.k": "attn.k_norm",
    "attn.o": "norm.post_attn",
    "mlp.down": "norm.post_mlp",
}
"""The roles of projections whose output is normed in some layers, each with the role of the norm.

Such a norm undoes any scaling of the projection, other than by 0.
"""


def strip_role_suffixes(role: str) -> str:
    """Remove the endings `.expert`, `.shared` and `.bias` from a role."""
    for suffix in reversed(SUFFIXES):
        role = role.removesuffix(f".{suffix}")
    return role
