"""Tiny LoRA adapters on disk, without peft, and what they make of a matrix, in float64 from the published formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
PREFIX = "base_model.model."


def write_adapter(folder: Path, tensors: Arrays, **config: Any) -> Path:
    """Write an adapter with these tensors, named without peft's prefix, and these entries in its config."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "./a", **config}
    (folder / "adapter_config.json").write_text(json.dumps(entries))
    stored = {PREFIX + name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    save_file(stored, folder / "adapter_model.safetensors")
    return folder


def write_lora(
    folder: Path, shapes: Mapping[str, tuple[int, int]], *, rank: int = 4, seed: int = 0, **config: Any
) -> dict[str, np.ndarray[Any, Any]]:
    """Write a LoRA for modules with weights of these shapes [out, in]; returns its tensors by name."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for module, (rows, width) in shapes.items():
        tensors[f"{module}.lora_A.weight"] = draw.standard_normal((rank, width)).astype(np.float32) * 0.1
        tensors[f"{module}.lora_B.weight"] = draw.standard_normal((rows, rank)).astype(np.float32) * 0.1
    write_adapter(folder, tensors, r=rank, **config)
    return tensors


def change_of(tensors: Arrays, module: str, scaling: float) -> np.ndarray[Any, Any]:
    """The change s·B·A of a module's weight, in float64."""
    one, other = (tensors[f"{module}.lora_{side}.weight"].astype(np.float64) for side in "BA")
    return scaling * one @ other


def spacing(exact: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    """The distance between neighbouring numbers of a type with `bits` bits of precision, at each of these numbers."""
    found: np.ndarray[Any, Any] = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(exact), math.ulp(0.0)))) + 1 - bits)
    return found
