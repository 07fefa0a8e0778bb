"""Plan ids and output bytes do not change: the same spec over the same donors gives the same checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipe_outputs import GOLDEN, build_outputs, recipe_ids


@pytest.mark.slow
def test_plan_ids_of_recipes() -> None:
    """Every recipe still has the plan id in the golden file."""
    assert recipe_ids() == json.loads(GOLDEN.read_text())["recipes"]


@pytest.mark.slow
def test_output_bytes(tmp_path: Path) -> None:
    """Recipes over tiny donors, and a spec for every item and op, still give the bytes in the golden file."""
    assert build_outputs(tmp_path) == json.loads(GOLDEN.read_text())["outputs"]
