"""The stack that the hint of a refusal proposes can be built and is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families.tiny import tiny_case
from tests.families.trial import RIGHT, try_hints


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "stacks"),
    [("deepseek_v3", 1), ("diffllama", 1), ("zamba", 1), ("zamba2", 1)],
    ids=lambda value: str(value),
)
def test_the_stack_in_the_hint_is_right(name: str, stacks: int, tmp_path: Path) -> None:
    """For families with refused stacks, the proposed stacks compute the same as their layers in memory."""
    words = try_hints(tiny_case(name), tmp_path)
    assert list(words.values()) == [RIGHT] * stacks
