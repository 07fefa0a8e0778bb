"""How hops are folded into the tensors of a layer, by the general rule and by architecture files."""

from __future__ import annotations

import pytest

from stacker.arch.families import find_architecture, read_architectures
from stacker.arch.files.architecture import Architecture, Part
from stacker.arch.hops import find_fold, find_hop_refusals
from stacker.arch.placement import replace_expert_number

WHOLE = [pytest.param(each, id=each.name) for each in read_architectures()]


def folds_of(name: str) -> dict[str, tuple[int, float]]:
    """The power and offset of every tensor that is folded in a layer with all tensors of the family."""
    architecture = find_architecture({"model_type": name})
    assert architecture is not None
    tensors = {each.name: each.role for each in architecture.tensors if each.part is Part.LAYER}
    folds = {key: find_fold(architecture, key, role, set(tensors.values())) for key, role in tensors.items()}
    return {key.removesuffix(".weight"): (fold.power, fold.offset) for key, fold in folds.items() if fold.power}


LLAMA = {
    "self_attn.o_proj": (-1, 0),
    "self_attn.o_proj.bias": (-1, 0),
    "mlp.down_proj": (-1, 0),
    "mlp.down_proj.bias": (-1, 0),
}
OLMO = {
    **{f"self_attn.{name}_proj": (1, 0) for name in "qkv"},
    **{f"mlp.{name}_proj": (1, 0) for name in ("gate", "up")},
    "post_attention_layernorm": (-1, 0),
    "post_feedforward_layernorm": (-1, 0),
}


@pytest.mark.parametrize(
    ("name", "folds"),
    [
        pytest.param("llama", LLAMA, id="what layers write is divided"),
        pytest.param(
            "gemma2", {"post_attention_layernorm": (-1, 1), "post_feedforward_layernorm": (-1, 1)}, id="norms from one"
        ),
        pytest.param("olmo2", OLMO, id="no norms before, so that what reads is multiplied"),
        pytest.param(
            "lfm2",
            {"self_attn.out_proj": (-1, 0), "conv.out_proj": (-1, 0), "feed_forward.w2": (-1, 0)},
            id="other mixers",
        ),
    ],
)
def test_folds(name: str, folds: dict[str, tuple[int, float]]) -> None:
    """The folded tensors of a family are those that write to the stream, or read it without a norm."""
    found = folds_of(name)
    assert {key: fold for key, fold in found.items() if not key.endswith(".bias") or name == "llama"} == folds


def test_a_norm_replaces_the_projection_before_it_only_where_it_is() -> None:
    """In a layer without the norm, the projection itself is divided."""
    architecture = find_architecture({"model_type": "axk1"})
    assert architecture is not None
    for roles, power in (({"mlp.down"}, -1), ({"mlp.down", "norm.post_mlp"}, 0)):
        assert find_fold(architecture, "mlp.down_proj.weight", "mlp.down", roles).power == power


def test_experts_are_folded_by_role() -> None:
    """All endings of a role are folded as the role is."""
    architecture = find_architecture({"model_type": "mixtral"})
    assert architecture is not None
    name = "block_sparse_moe.experts.7.w2.weight"
    assert find_fold(architecture, name, "mlp.down.expert", {"mlp.down.expert"}).power == -1


@pytest.mark.parametrize("architecture", WHOLE)
def test_entries_name_tensors_of_the_family(architecture: Architecture) -> None:
    """Each entry of `hop` is a role or a tensor of the family, so that none is misspelt."""
    roles = {each.role for each in architecture.tensors if each.part is Part.LAYER}
    names = {replace_expert_number(each.name) for each in architecture.tensors if each.part is Part.LAYER}
    for key, _ in architecture.hop:
        assert key in names or any(role == key or role.startswith(f"{key}.") for role in roles)


@pytest.mark.parametrize("architecture", WHOLE)
def test_a_norm_of_the_stream_itself_is_never_folded(architecture: Architecture) -> None:
    """A family whose norms follow the residual sum has a reason against hops."""
    if any(each.role.startswith("norm.residual") for each in architecture.tensors):
        assert architecture.no_hop


def test_conditions_of_refusals() -> None:
    """A reason applies only to configs that meet its condition; a picture's features end where hops may begin."""
    opt = find_architecture({"model_type": "opt"})
    assert opt is not None
    assert list(find_hop_refusals(opt, {"model_type": "opt"}, 0)) == []
    (reason,) = find_hop_refusals(opt, {"model_type": "opt", "do_layer_norm_before": False}, 0)
    assert "follows each sublayer" in reason
