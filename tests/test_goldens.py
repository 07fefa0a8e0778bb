"""Plan ids and output bytes are what they were: the same spec over the same donors gives the same checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipe_outputs import GOLDEN, outputs, recipe_ids


@pytest.mark.slow
def test_plan_ids_of_recipes() -> None:
    """Every recipe that ships has the plan id that it had."""
    assert recipe_ids() == json.loads(GOLDEN.read_text())["recipes"]


@pytest.mark.slow
def test_output_bytes(tmp_path: Path) -> None:
    """Recipes over tiny donors, and a spec of every item and op, come to the bytes that they came to."""
    assert outputs(tmp_path) == json.loads(GOLDEN.read_text())["outputs"]
