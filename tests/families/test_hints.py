"""What a refusal proposes is no guess: the stack in its hint is built, and right."""

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
    """Of a family some of whose stacks are refused, those named in their stead compute what their layers compute."""
    words = try_hints(tiny_case(name), tmp_path)
    assert list(words.values()) == [RIGHT] * stacks
