"""Which layers of a donor are said to be alike."""

from __future__ import annotations

from pathlib import Path

from stacker.core.study.layer_kinds import layer_kinds
from stacker.io.donors.reading import read_donor
from stacker.spec.language.value_grammar import parse_source
from tests.donors import Tensors, write_llama

KINDS = ["full_attention", "sliding_attention"] * 3


def norms(layers: int) -> Tensors:
    return {f"model.layers.{n}.self_attn.{which}_norm.weight": ("BF16", (8,)) for n in range(layers) for which in "qk"}


def test_layers_of_one_kind(tmp_path: Path) -> None:
    """A llama's layers are all alike, and need no words."""
    write_llama(tmp_path / "a")
    (kind,) = layer_kinds(read_donor(parse_source("a", "./a", None), tmp_path))
    assert (kind.words, kind.layers) == ("", tuple(range(6)))
    assert kind.parameters == 2 * 16 + 4 * 16 * 16 + 3 * 16 * 32


def test_layers_whose_attention_differs(tmp_path: Path) -> None:
    """Values that follow the layers set kinds apart, and are what is said of them."""
    write_llama(tmp_path / "a", model_type="qwen3", layer_types=KINDS, head_dim=8, sliding_window=8, extra=norms(6))
    kinds = layer_kinds(read_donor(parse_source("a", "./a", None), tmp_path))
    assert [kind.layers for kind in kinds] == [(0, 2, 4), (1, 3, 5)]
    assert ["full_attention" in kinds[0].words, "sliding_attention" in kinds[1].words] == [True, True]


def test_layers_whose_tensors_differ(tmp_path: Path) -> None:
    """A tensor that only some layers have sets them apart, by its role."""
    extra = {f"model.layers.{n}.self_attn.q_proj.bias": ("BF16", (16,)) for n in (4, 5)}
    write_llama(tmp_path / "a", extra=extra)
    kinds = layer_kinds(read_donor(parse_source("a", "./a", None), tmp_path))
    assert [(kind.layers, kind.words) for kind in kinds] == [
        ((0, 1, 2, 3), "other shapes"),
        ((4, 5), "with attn.q.bias"),
    ]
