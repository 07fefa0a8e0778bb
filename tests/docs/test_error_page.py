"""docs/errors.md has every message that the source can print, and every class of errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacker import errors
from tests.docs.blocks import ROOT
from tools.errors import PAGE, fill_page, read_messages

BAD = sorted((ROOT / "tests" / "bad").glob("*.txt"))
MESSAGES = read_messages()
PATTERNS = [re.compile(".*".join(map(re.escape, message.text.split("…"))), re.DOTALL) for message in MESSAGES]


def test_the_list_is_that_of_the_source() -> None:
    """`python -m tools.errors` would change nothing."""
    page = PAGE.read_text(encoding="utf-8")
    assert fill_page(page, MESSAGES) == page


def test_every_class_is_explained() -> None:
    """Each class of errors is in the table, with its exit code."""
    page = PAGE.read_text(encoding="utf-8")
    known = [each for each in vars(errors).values() if isinstance(each, type)]
    classes = [each for each in known if issubclass(each, errors.StackerError)]
    assert len(classes) > 6
    for each in classes:
        assert f"| `{each.__name__}` | {each.exit_code} |" in page


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_messages_of_faulty_specs_are_in_the_list(path: Path) -> None:
    """Each message of a spec in tests/bad is one of the list."""
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(" ")]
    told = [re.sub(r"^[\w.-]+(:\d+)*: ", "", line) for line in lines]
    assert told
    unknown = [line for line in told if not any(pattern.match(line) for pattern in PATTERNS)]
    assert unknown == []
