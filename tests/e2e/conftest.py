"""The real donor of the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import ROOT
from tools import smollm2


@pytest.fixture(scope="session")
def donor() -> Path:
    """SmolLM2-135M, made once a checkout; tests skip where its package cannot be had."""
    (ROOT / "build").mkdir(exist_ok=True)
    try:
        return smollm2.make_donor(ROOT / "build" / "smollm2")
    except smollm2.MissingPackageError as error:
        pytest.skip(str(error))
