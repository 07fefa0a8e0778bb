"""Figures against published ones: parameters of well-known stacks, KV caches, active experts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacker.compose import load_text
from stacker.core.study.figures import Figures, figures_json
from stacker.io.donors.reader import read_from_reference
from tests.view.scenes import BLENDED, GOLIATH

TWENTIES = [(start, start + 20) for start in range(0, 70, 10)]
PHI_4 = {
    "model_type": "phi3", "hidden_size": 5120, "intermediate_size": 17920, "num_hidden_layers": 40,
    "num_attention_heads": 40, "num_key_value_heads": 10, "vocab_size": 100352, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
LLAMA_405B = {
    "model_type": "llama", "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126,
    "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
    "vocab_size": 32000, "sliding_window": None, "torch_dtype": "bfloat16",
}  # fmt: skip
QWEN3_MOE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
    "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 151936,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
GEMMA_2 = {
    "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000, "sliding_window": 4096,
    "torch_dtype": "bfloat16",
}  # fmt: skip


def figures_of(text: str, folder: Path = Path()) -> Figures:
    """The figures of a spec whose donors are configs without weights."""
    figures = load_text(text.encode(), folder / "spec.yml", read=read_from_reference).scene().figures
    assert figures
    return figures


def sliced(slices: list[tuple[int, int]], like: str) -> str:
    """A spec of these slices of one donor with a reference config."""
    items = "".join(f"  - a[{start}:{stop}]\n" for start, stop in slices)
    return f"stacker: 1\ndonors:\n  a: {{source: some/a, like: {like}}}\nstack:\n{items}"


def stack_of(config: dict[str, Any], slices: list[tuple[int, int]], folder: Path) -> Figures:
    """The figures of slices of a donor with this config."""
    (folder / "config.json").write_text(json.dumps(config))
    return figures_of(sliced(slices, "./config.json"), folder)


PUBLISHED = {
    "goliath": (GOLIATH, 137, 117.75e9),
    "7x20 of llama-2": (sliced(TWENTIES, "llama-2-70b"), 140, 120.3e9),
    "7x20 of llama-3": (sliced(TWENTIES, "llama-3-70b"), 140, 121.9e9),
    "7x20 of qwen2": (sliced(TWENTIES, "qwen2-72b"), 140, 125.4e9),
    "miqu-103b": (sliced([(0, 40), (20, 60), (40, 80)], "llama-2-70b"), 120, 103.2e9),
    "solar": (sliced([(0, 24), (8, 32)], "mistral-7b"), 48, 10.73e9),
    "llama-3-12b": (sliced([(0, 24), (8, 32)], "llama-3-8b"), 48, 11.52e9),
    "bigstral": (sliced([(start, start + 8) for start in range(0, 28, 4)], "mistral-7b"), 56, 12.48e9),
}


@pytest.mark.parametrize(("text", "layers", "parameters"), PUBLISHED.values(), ids=PUBLISHED)
def test_parameters_are_as_published(text: str, layers: int, parameters: float) -> None:
    """The exact number of layers, and parameters within the rounding of the published figure."""
    figures = figures_of(text)
    assert figures.layers == layers
    assert figures.parameters == pytest.approx(parameters, rel=6e-4)
    assert figures.active == figures.parameters


def test_phi_4_25b_is_as_published(tmp_path: Path) -> None:
    """Seven slices of ten, stride five: 70 layers and 24.9 B, as its card says."""
    figures = stack_of(PHI_4, [(start, start + 10) for start in range(0, 35, 5)], tmp_path)
    assert figures.layers == 70
    assert round(figures.parameters / 1e9, 1) == 24.9


def test_bigllama_681b_is_as_published(tmp_path: Path) -> None:
    """Five slices of 42 of the 405 B as it was first released, with 16 heads for keys and values."""
    config = LLAMA_405B | {"num_key_value_heads": 16}
    figures = stack_of(config, [(start, start + 42) for start in range(0, 105, 21)], tmp_path)
    assert figures.layers == 210
    assert round(figures.parameters / 1e9, 1) == 680.7


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [pytest.param(MIXTRAL, 46.7e9, 12.9e9, id="mixtral-8x7b"), pytest.param(QWEN3_MOE, 30.5e9, 3.3e9, id="qwen3-30b")],
)
def test_active_parameters_of_mixtures(config: dict[str, Any], total: float, active: float, tmp_path: Path) -> None:
    """The published total, and the published number of active parameters."""
    figures = stack_of(config, [(0, config["num_hidden_layers"])], tmp_path)
    assert figures.parameters == pytest.approx(total, rel=3e-3)
    assert figures.active == pytest.approx(active, rel=2e-2)


def test_a_mixture_with_an_unknown_number_of_active_experts(tmp_path: Path) -> None:
    """The active parameters are None rather than wrong."""
    config = {key: value for key, value in QWEN3_MOE.items() if key != "num_experts_per_tok"}
    assert stack_of(config, [(0, 4)], tmp_path).active is None


def test_the_cache_grows_with_the_layers() -> None:
    """Goliath: 137 layers × 2 × 8 heads × 128 numbers of 16 bits a token."""
    cache = figures_of(GOLIATH).cache
    assert cache.nbytes(4096) == 137 * 2 * 8 * 128 * 2 * 4096
    assert cache.nbytes(32768) == 8 * 137 * 2 * 8 * 128 * 2 * 4096


def test_windows_bound_the_cache() -> None:
    """All layers of Mistral 7B keep the last 4,096 tokens and no more."""
    cache = figures_of(BLENDED).cache
    assert cache.nbytes(4096) == cache.nbytes(32768) == 32 * 2 * 8 * 128 * 2 * 4096
    assert cache.notes == ("all layers keep at most 4096 tokens",)


def test_only_sliding_layers_are_bounded(tmp_path: Path) -> None:
    """Gemma 2 slides in every other layer; a stacked layer keeps the attention of its donor."""
    cache = stack_of(GEMMA_2, [(0, 4), (1, 4)], tmp_path).cache
    sliding = [True, False, True, False, False, True, False]
    per_token = 2 * 4 * 256 * 2
    assert cache.nbytes(32768) == sum(per_token * (4096 if slides else 32768) for slides in sliding)


def test_moved_bytes_and_time_follow_the_plan() -> None:
    """Blended tensors are read and computed, all others moved; computing takes longer."""
    plain, blended = figures_of(sliced([(0, 32)], "mistral-7b")), figures_of(BLENDED)
    assert plain.moved == plain.written == plain.read == plain.nbytes
    assert 0 < blended.moved < blended.written < blended.read
    assert plain.written == blended.written
    assert blended.seconds > plain.seconds


def test_figures_as_json() -> None:
    """The JSON has every figure as a plain number."""
    content = figures_json(figures_of(GOLIATH))
    assert content["bytes"] == 2 * content["parameters"] == 235_497_897_984
    assert content["kv_cache"]["4096"] == 2_298_478_592
    assert json.loads(json.dumps(content)) == content
