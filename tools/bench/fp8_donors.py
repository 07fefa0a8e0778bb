"""`python -m tools.bench.fp8_donors FOLDER LAYERS`: writes a llama in fp8 with block scales, for the benchmarks.

It is a program of its own, because the memory of the benchmarks' process counts into that of the programs they start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stacker.formats.safetensors import make_header
from stacker.tensors import Dtype, TensorSpec

HIDDEN, INNER, VOCABULARY, BLOCK = 4096, 14336, 8192, 128
MATRICES = {
    **dict.fromkeys(("q", "k", "v", "o"), (HIDDEN, HIDDEN)),
    **dict.fromkeys(("gate", "up"), (INNER, HIDDEN)),
    "down": (HIDDEN, INNER),
}


def list_tensors(layers: int) -> Iterator[TensorSpec]:
    """Yield the tensors of the model in the order of the file."""
    yield TensorSpec("model.embed_tokens.weight", Dtype.BF16, (VOCABULARY, HIDDEN))
    for layer in range(layers):
        for name, (rows, columns) in MATRICES.items():
            base = f"model.layers.{layer}.{'self_attn' if len(name) == 1 else 'mlp'}.{name}_proj.weight"
            yield TensorSpec(base, Dtype.F8_E4M3, (rows, columns))
            yield TensorSpec(f"{base}_scale_inv", Dtype.F32, (rows // BLOCK, columns // BLOCK))
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield TensorSpec(f"model.layers.{layer}.{name}.weight", Dtype.BF16, (HIDDEN,))
    yield TensorSpec("model.norm.weight", Dtype.BF16, (HIDDEN,))
    yield TensorSpec("lm_head.weight", Dtype.BF16, (VOCABULARY, HIDDEN))


def write_donor(folder: Path, layers: int) -> None:
    """Write the model with random weights, none of them NaN or infinite."""
    folder.mkdir(parents=True)
    random, tensors = np.random.default_rng(0), list(list_tensors(layers))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(make_header(tensors))
        for tensor in tensors:
            if tensor.dtype is Dtype.F32:
                file.write(random.random(tensor.elements, dtype=np.float32).tobytes())
            else:
                file.write(random.integers(0, 64, tensor.nbytes, dtype=np.uint8).tobytes())
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": layers, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": VOCABULARY,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    write_donor(Path(sys.argv[1]), int(sys.argv[2]))
