"""The metadata of LoRAs in GGUF files: what can be folded, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from stacker.errors import DonorError
from stacker.formats.gguf_adapters import parse_gguf_adapter

SOUND: dict[str, Any] = {
    "general.type": "adapter",
    "adapter.type": "lora",
    "general.architecture": "llama",
    "adapter.lora.alpha": 16.0,
}


def test_the_scale_is_read() -> None:
    """The numerator of the scale is that of the metadata."""
    assert parse_gguf_adapter(SOUND, "llama", "x.gguf").alpha == 16


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), None, "16", True])
def test_a_scale_that_is_no_number_is_refused(alpha: Any) -> None:
    """A LoRA cannot be folded with a scale that would make all weights infinite or not a number."""
    with pytest.raises(DonorError, match=r"adapter\.lora\.alpha"):
        parse_gguf_adapter({**SOUND, "adapter.lora.alpha": alpha}, "llama", "x.gguf")
