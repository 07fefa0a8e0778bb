"""Either arithmetic, by the name `on`: a claim about it is a claim about both."""

from __future__ import annotations

import pytest

from stacker.arithmetic.interface import Arithmetic
from stacker.arithmetic.processor import PROCESSOR
from tests.ops.blending import TORCH


@pytest.fixture(params=[PROCESSOR, TORCH], ids=["processor", "torch"])
def on(request: pytest.FixtureRequest) -> Arithmetic:
    arithmetic: Arithmetic = request.param
    return arithmetic
