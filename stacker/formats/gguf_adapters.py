"""Reads what a LoRA in a GGUF file says, as llama.cpp's `convert_lora_to_gguf.py` writes it: metadata and names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from stacker.errors import Blame, Mark, Problem, escape_text, raise_problems
from stacker.formats.adapters import AdapterConfig, AdapterModule, AdapterPart
from stacker.formats.json_object import Json

_ALPHA = "adapter.lora.alpha"
_INVOCATION = "adapter.alora.invocation_tokens"
_ENDINGS = {f".weight.{part.value}": part for part in (AdapterPart.GGUF_A, AdapterPart.GGUF_B)}
_CONVERT = "convert it with llama.cpp's convert_lora_to_gguf.py"


def parse_gguf_adapter(entries: Mapping[str, Json], architecture: Json, where: str) -> AdapterConfig:
    """The config of a LoRA from the metadata of its file; `architecture` is that of the donor.

    All reasons why it cannot be folded into the donor are raised as one DonorError.
    """
    mark, alpha, own = Mark(where), entries.get(_ALPHA), entries.get("general.architecture")
    kind, method = entries.get("general.type"), entries.get("adapter.type")
    problems = []
    if (kind, method) != ("adapter", "lora"):
        found = "a model" if kind in (None, "model") else f"of type {escape_text(f'{kind} {method or str()}'.strip())}"
        problems.append(_refuse(f"this file is no LoRA: it is {found}", _CONVERT, mark))
    elif not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        problems.append(_refuse(f"the metadata has no number '{_ALPHA}'", _CONVERT, mark))
    elif own != architecture:
        message = f"this LoRA is for the architecture '{escape_text(str(own))}', and the donor is '{architecture}'"
        problems.append(_refuse(message, "use the LoRA with its own base", mark))
    if entries.get(_INVOCATION):
        message = f"this adapter cannot be folded ('{_INVOCATION}'): aLoRA acts only on the tokens after these tokens"
        problems.append(_refuse(message, "", mark))
    raise_problems(problems)
    name = entries.get("general.base_model.0.name")
    return AdapterConfig(
        0, float(alpha) if isinstance(alpha, int | float) else 0.0, base=name if isinstance(name, str) else ""
    )


def group_gguf_tensors(names: Iterable[str], where: str) -> tuple[AdapterModule, ...]:
    """The tensors of the donor that a LoRA with tensors of these names changes; DonorError for other names."""
    modules: dict[str, dict[AdapterPart, str]] = {}
    problems = []
    for name in names:
        ending = next((each for each in _ENDINGS if name.endswith(each)), None)
        if ending is None:
            message = f"the tensor '{escape_text(name)}' is no factor of a LoRA, and llama.cpp refuses or ignores it"
            problems.append(_refuse(message, "convert a LoRA of matrices alone", Mark(where)))
        else:
            modules.setdefault(name.removesuffix(ending), {})[_ENDINGS[ending]] = name
    raise_problems(problems)
    return tuple(AdapterModule(path, 0, parts) for path, parts in modules.items())


def _refuse(message: str, hint: str, mark: Mark) -> Problem:
    return Problem(message, hint, mark, blame=Blame.DONOR)
