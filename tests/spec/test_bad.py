"""Bad specs, each refused with exactly the message in the file beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import SpecError
from stacker.spec.parser import parse_spec

BAD = Path(__file__).parent.parent / "bad"
SPECS = sorted(BAD.glob("*.yml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_words(path: Path) -> None:
    """Every problem is reported with its place and a hint."""
    with pytest.raises(SpecError) as caught:
        parse_spec(path.read_bytes(), path.name)
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_no_foreign_words(path: Path) -> None:
    """No message mentions libraries or internal types."""
    words = path.with_suffix(".txt").read_text(encoding="utf-8").lower()
    foreign = ("pydantic", "input should", "field required", "extra inputs", "discriminator", "traceback", "nonetype")
    assert [word for word in foreign if word in words] == []


def test_nothing_is_left_over() -> None:
    """Every bad spec has a message file, and every message file a spec."""
    assert {path.stem for path in SPECS} == {path.stem for path in BAD.glob("*.txt")}
    assert len(SPECS) > 80
