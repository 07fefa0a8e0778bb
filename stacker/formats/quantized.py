"""Recognises quantised weights by the entries of a config and by the names of tensors. Decodes no weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stacker.formats.json_object import Json
from stacker.tensors import Dtype, TensorSpec

QUANTIZATION_KEYS = ("quantization_config", "compression_config")
"""The entries of config.json that describe how the weights are quantised."""
_NAME_ENDINGS = (
    ("weight_scale_inv", "fp8 with block scales"),
    (".qweight", "gptq or awq"),
    (".weight_packed", "compressed-tensors"),
    (".weight.absmax", "bitsandbytes"),
    (".weight_scale", "scaled weights"),
)


def describe_quantization(config: Mapping[str, Json], tensors: Iterable[TensorSpec]) -> str:
    """How a model's weights are quantised, in a few words; "" when the weights are not quantised.

    An entry in the config is used if there is one; otherwise names and dtypes of the tensors show the method.
    """
    for key in QUANTIZATION_KEYS:
        entry = config.get(key)
        if isinstance(entry, dict) and entry:
            return str(entry.get("quant_method") or "in a way the config does not name")
    return next((method for tensor in tensors if (method := _recognise(tensor))), "")


def _recognise(tensor: TensorSpec) -> str:
    if tensor.dtype is Dtype.U8 and tensor.name.endswith("_blocks"):
        return "mxfp4"
    return next((method for ending, method in _NAME_ENDINGS if tensor.name.endswith(ending)), "")
