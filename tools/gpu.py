"""Compares blends computed on a GPU with the same blends on the CPU: they must be equal up to rounding.

Run `python -m tools.gpu [FOLDER]` on a machine with a GPU and a CUDA build of torch; it also prints times.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from stacker.compose import load
from stacker.ops.shared.op import Base, Op
from stacker.ops.table import OPS
from stacker.run.building import BuildOptions

LAYERS, HIDDEN, FFN, VOCAB = 6, 2048, 5632, 32000
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": FFN,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": VOCAB,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
SPEC = """\
stacker: 1
name: {op}
donors: {{a: ./a, b: ./b, c: ./c}}
base: c
embed: c
stack:
  - blend: [{sources}]
    op: {op}
"""


def main(arguments: list[str]) -> int:
    """Print seconds on GPU and CPU and the largest difference for each op; 1 if a difference exceeds rounding."""
    with tempfile.TemporaryDirectory(dir=arguments[0] if arguments else None) as scratch:
        home = Path(scratch)
        for seed, name in enumerate("abc"):
            write_donor(home / name, seed)
        return max(compare(home, op) for op in OPS.values() if op.arity[1] != 1 or op.base is not Base.NONE)


def spec_text(op: Op) -> str:
    """The text of a spec that blends one or two donors by the op, with values for its required parameters."""
    donors = "a" if op.arity[1] == 1 else "ab"
    needed = (parameter for parameter in op.parameters if parameter.default is None)
    given = {parameter.name: 0.4 for parameter in needed} | ({"density": 0.5} if op.parameter("density") else {})
    spec = SPEC.format(op=op.name, sources=", ".join(f'"{donor}[0:{LAYERS}]"' for donor in donors))
    return spec + "".join(f"    {name}: {value}\n" for name, value in given.items())


def write_donor(folder: Path, seed: int) -> None:
    """Write a Llama checkpoint of 0.9 GB with random bf16 weights."""
    source = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCAB, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCAB, HIDDEN),
    }
    layer: dict[str, tuple[int, ...]] = {
        "mlp.gate_proj": (FFN, HIDDEN),
        "mlp.up_proj": (FFN, HIDDEN),
        "mlp.down_proj": (HIDDEN, FFN),
    }
    layer |= {f"self_attn.{part}_proj": (HIDDEN, HIDDEN) for part in "qkvo"}
    layer |= {"input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}
    for index in range(LAYERS):
        shapes |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tensors = {name: torch.randn(shape, generator=source).mul_(0.02).bfloat16() for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def compare(home: Path, op: Op) -> int:
    """Build on GPU and CPU and print the comparison; 1 if more than one element in a thousand differs."""
    path = home / f"{op.name}.yml"
    path.write_text(spec_text(op))
    stack = load(path)
    seconds = {}
    for device in ("cpu", "cuda", "cuda"):  # the first run on the GPU also loads its libraries
        options = BuildOptions(device=device, force=True)
        seconds[device] = stack.build(home / f"out-{device}", options).report.seconds
    one, other = (load_file(home / f"out-{device}" / "model.safetensors") for device in ("cpu", "cuda"))
    worst = max(difference(tensor, other[name]) for name, tensor in one.items())
    changed = sum(int((tensor != other[name]).sum()) for name, tensor in one.items())
    total = sum(tensor.numel() for tensor in one.values())
    print(f"{op.name:<16} cpu {seconds['cpu']:6.2f} s   cuda {seconds['cuda']:6.2f} s   ", end="")
    print(f"{changed / total:.2e} of the elements differ, by {worst:.1e} of the largest at most", flush=True)
    return int(changed > total / 1000)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference between two tensors, as a fraction of the largest magnitude in `one`."""
    top = one.abs().max().item()
    return (one.double() - other.double()).abs().max().item() / top if top else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
