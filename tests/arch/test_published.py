"""Parameter counts of published models, computed from config and family file, against the published sizes."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacker.arch.families import find_architecture
from stacker.arch.placement import list_expected_tensors

PUBLISHED: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text("utf-8"))
ROUNDING = 0.005
"""Published sizes have two or three digits."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_size(name: str) -> None:
    """The expected tensors add up to the published number of parameters."""
    config = {key: value for key, value in PUBLISHED[name].items() if key != "billions"}
    family = find_architecture(config)
    assert family is not None
    count = sum(prod(tensor.shape) for tensor in list_expected_tensors(family, config))
    assert count / 1e9 == pytest.approx(PUBLISHED[name]["billions"], rel=ROUNDING)
