"""`python -m tools.bench.million FOLDER`: writes a sparse Mixtral with many small experts, for plans of many tensors.

32 layers of 128 experts have 12,000 tensors, so that 82 passes over them have a million.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from stacker.formats.safetensors import make_header
from stacker.tensors import Dtype, TensorSpec

LAYERS, EXPERTS, HIDDEN, INNER, VOCABULARY = 32, 128, 64, 64, 256
PASSES = 82


def list_tensors() -> Iterator[TensorSpec]:
    """Yield the tensors of the model in the order of the file."""
    yield _make("model.embed_tokens", VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        base = f"model.layers.{layer}"
        yield from (_make(f"{base}.self_attn.{name}_proj", HIDDEN, HIDDEN) for name in "qkvo")
        yield _make(f"{base}.block_sparse_moe.gate", EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            yield from (
                _make(f"{base}.block_sparse_moe.experts.{expert}.{name}", INNER, HIDDEN) for name in ("w1", "w3")
            )
            yield _make(f"{base}.block_sparse_moe.experts.{expert}.w2", HIDDEN, INNER)
        yield from (_make(f"{base}.{name}_layernorm", HIDDEN) for name in ("input", "post_attention"))
    yield _make("model.norm", HIDDEN)
    yield _make("lm_head", VOCABULARY, HIDDEN)


def _make(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(f"{name}.weight", Dtype.BF16, shape)


def write_donor(folder: Path) -> None:
    """Write the model as a sparse file; config.json comes last, so a folder that has one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = [*list_tensors()]
    header = make_header(tensors)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + sum(tensor.nbytes for tensor in tensors))
    config = {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY,
        "num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": EXPERTS, "num_experts_per_tok": 2,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    write_donor(Path(sys.argv[1]))
