"""Quantised donors are recognised by their config or by tensor names."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.formats.quantized import describe_quantization
from stacker.tensors import Dtype, TensorSpec


@pytest.mark.parametrize(
    ("config", "name", "dtype", "kind"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "a.weight", Dtype.F16, "gptq"),
        ({"quantization_config": {"load_in_4bit": True}}, "a.weight", Dtype.U8, "in a way the config does not name"),
        ({}, "a.weight_scale_inv", Dtype.F32, "fp8 with block scales"),
        ({}, "a.qweight", Dtype.I32, "gptq or awq"),
        ({}, "experts.down_proj_blocks", Dtype.U8, "mxfp4"),
        ({}, "a.weight.absmax", Dtype.U8, "bitsandbytes"),
        ({}, "a.weight", Dtype.BF16, ""),
        ({"quantization_config": None}, "down_proj_blocks", Dtype.BF16, ""),
    ],
)
def test_kind_of_quantization(config: dict[str, Any], name: str, dtype: Dtype, kind: str) -> None:
    """The config is asked first, then the tensor names."""
    assert describe_quantization(config, [TensorSpec(name, dtype, (1,))]) == kind
