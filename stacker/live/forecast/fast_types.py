"""Says in which type a processor computes a stack fast. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

_INSTRUCTIONS: Mapping[str, AbstractSet[str]] = {
    "bfloat16": {"amx_bf16", "avx512_bf16", "bf16", "svebf16"},
    "float16": {"amx_fp16", "avx512_fp16", "fphp"},
}
"""For each type of 16 bits, the names under which Linux lists the instructions that multiply matrices of it."""


def find_slow_type(config: Mapping[str, Any], flags: AbstractSet[str]) -> str | None:
    """The type of a config if a processor with these flags has no instructions for it, else None.

    Such a processor computes several times faster in float32.
    """
    named = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    needed = _INSTRUCTIONS.get(named)
    return named if needed and flags and not needed & flags else None
