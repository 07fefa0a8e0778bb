"""The examples of the language page are valid specs."""

from __future__ import annotations

import re
from pathlib import Path

from stacker.spec.mergekit.methods import METHODS
from stacker.spec.native.donor_shape import DonorShape
from stacker.spec.native.shape import ITEM_KINDS, StackShape
from stacker.spec.parser import parse_spec

PAGE = (Path(__file__).parent.parent.parent / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_first_example() -> None:
    """The first example is a complete spec."""
    assert parse_spec(BLOCKS[0], "s.yml").problems == ()


def test_every_kind_of_item() -> None:
    """The second example has every kind of item, and all of them parse."""
    items = "".join(f"  {line}\n" for line in BLOCKS[1].splitlines())
    spec = parse_spec(
        f"stacker: 1\ndonors: {{xwin: x/y, euryale: ./e}}\nstack:\n{items}stacks: {{tail: [xwin]}}\n", "s.yml"
    )
    assert len(spec.stack) == len(ITEM_KINDS) + 1
    assert spec.problems == ()


def test_every_key_is_on_the_page() -> None:
    """All top-level keys, all keys of a donor, and all methods of mergekit are mentioned."""
    words = (*StackShape.model_fields, *DonorShape.model_fields, *METHODS)
    assert [word for word in words if f"`{word}`" not in PAGE] == []
