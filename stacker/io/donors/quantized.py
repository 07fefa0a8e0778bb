"""Whether a donor's weights are quantised, told by its config and by what its tensors are called."""

from __future__ import annotations

from collections.abc import Iterable

from stacker.arch.files.architecture import Config
from stacker.tensors import Dtype, TensorSpec

_ENDINGS = (
    ("weight_scale_inv", "fp8 with block scales"),
    (".qweight", "gptq or awq"),
    (".weight_packed", "compressed-tensors"),
    (".weight.absmax", "bitsandbytes"),
    (".weight_scale", "scaled weights"),
)


def quantization_in(config: Config, tensors: Iterable[TensorSpec]) -> str:
    """How weights are quantised, in a few words; "" when they are plain numbers."""
    for key in ("quantization_config", "compression_config"):
        entry = config.get(key)
        if isinstance(entry, dict) and entry:
            return str(entry.get("quant_method") or "in a way the config does not name")
    return next((kind for tensor in tensors if (kind := _kind(tensor))), "")


def _kind(tensor: TensorSpec) -> str:
    if tensor.dtype is Dtype.U8 and tensor.name.endswith("_blocks"):
        return "mxfp4"
    return next((kind for ending, kind in _ENDINGS if tensor.name.endswith(ending)), "")
