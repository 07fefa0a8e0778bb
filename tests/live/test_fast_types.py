"""Types that a processor has no instructions for are found by its flags."""

from __future__ import annotations

import pytest

from stacker.io.machine import read_processor_flags
from stacker.live.forecast.fast_types import find_slow_type


@pytest.mark.parametrize(
    ("dtype", "flags", "slow"),
    [
        ("bfloat16", {"avx2"}, "bfloat16"),
        ("bfloat16", {"avx512f", "avx512_bf16"}, None),
        ("bfloat16", {"asimd", "bf16"}, None),
        ("torch.float16", {"avx512_bf16"}, "float16"),
        ("float16", {"avx512_fp16"}, None),
        ("float32", {"avx2"}, None),
        ("bfloat16", set(), None),
    ],
)
def test_types(dtype: str, flags: set[str], slow: str | None) -> None:
    """A type without instructions is slow; nothing is said of a processor that tells nothing."""
    assert find_slow_type({"torch_dtype": dtype}, flags) == slow
    assert find_slow_type({"dtype": dtype}, flags) == slow


def test_flags_are_read() -> None:
    """On this machine, the flags are those of /proc/cpuinfo."""
    assert len(read_processor_flags()) > 5
