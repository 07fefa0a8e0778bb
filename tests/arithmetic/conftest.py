"""The fixture `backend`: each test that uses it runs on numpy and on torch."""

from __future__ import annotations

import pytest

from stacker.arithmetic.backend import Backend
from stacker.arithmetic.numpy_backend import NUMPY
from tests.ops.blending import TORCH


@pytest.fixture(params=[NUMPY, TORCH], ids=["processor", "torch"])
def backend(request: pytest.FixtureRequest) -> Backend:
    arithmetic: Backend = request.param
    return arithmetic
