"""Devices keep shared parameters shared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stacker.errors import SpecError
from stacker.live.filling.placement import check_device, divide_model
from tests.live.lives import SHARED, distinct_bytes, stack_of, write_donors

TOKENS = torch.arange(12).reshape(1, 12)


def test_accelerate_keeps_parameters_shared(tmp_path: Path) -> None:
    """A model that accelerate places has as many distinct parameters as before, and the same logits."""
    live = stack_of(write_donors(tmp_path), SHARED).live_stack(dtype="float32")
    with torch.no_grad():
        expected, before = live.model(TOKENS).logits, distinct_bytes(live.model)
        divide_model(live.model, {})
        assert torch.equal(live.model(TOKENS).logits, expected)
    assert distinct_bytes(live.model) == before


def test_auto_is_the_processor_without_a_gpu(tmp_path: Path) -> None:
    """`auto` works on every machine."""
    live = stack_of(write_donors(tmp_path), SHARED).live_stack("auto")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert live.model.device.type == expected


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:99", ""])
def test_devices_that_do_not_exist(device: str) -> None:
    """A device that is not here is refused."""
    with pytest.raises(SpecError, match="no device"):
        check_device(device)
