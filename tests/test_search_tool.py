"""The tool that repeats two searches: its texts, its specs, and the section that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacker.spec.parser import parse_spec
from tests.house import ROOT
from tools.search import texts
from tools.search.page import START, STOP, replace_section, section_text
from tools.search.specs import self_text, tunes_text
from tools.tunes.texts import SUBJECTS, read_module

PAGE = (ROOT / "docs" / "searching.md").read_text(encoding="utf-8")
STORY: dict[str, Any] = {
    "lineage": [0, 1],
    "trials": [
        {"proposal": {"how": "start"}, "measured": {"values": [0.0]}},
        {"proposal": {"how": "drop 3:4"}, "measured": {"values": [-0.01]}},
    ],
    "report": {
        "how": "the mean of CMA-ES", "tried": 90, "failed": 2, "seconds": 600.0, "passages": 48, "value": 3.0,
        "luck": {"best": 3.1, "count": 80, "usual": 2.4, "rare": 3.4},
        "comparisons": [
            {"name": "ram", "value": 3.01, "verdict": "no difference",
             "difference": {"value": -0.01, "low": -0.02, "high": 0.0}}
        ],
    },
}  # fmt: skip


def test_the_section_says_what_was_found() -> None:
    """The section has counts, the winner, the comparison, luck and lineage, and leaves the rest of the page alone."""
    section = section_text(
        {"tunes": STORY, "self": STORY}, {"tunes": "stacker search a", "self": "stacker search b"}, 16, 512
    )
    row = "| ram | 20.287 | -0.0100 [-0.0200, +0.0000] | no difference |"
    for words in ("8,192", "90 candidates", row, "drop 3:4"):
        assert words in section, words
    page = replace_section(PAGE, section)
    assert page.partition(START)[0] == PAGE.partition(START)[0]
    assert replace_section(page, section) == page
    assert page.partition(STOP)[2] == PAGE.partition(STOP)[2]


def test_specs_are_valid() -> None:
    """Both specs parse; the first has two parameters with a range, the second none."""
    assert [each.name for each in parse_spec(tunes_text(Path("x")), "tunes.yml").parameters if each.moves] == ["a", "b"]
    assert parse_spec(self_text(Path("x")), "self.yml").parameters == ()


def test_no_document_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python texts are the beginnings of modules that no fine-tune has read."""
    monkeypatch.setattr(texts, "list_pieces", lambda: ["x" * texts.LENGTH])
    paths = texts.write_texts(tmp_path)
    documents = [json.loads(line)["text"] for line in paths["python"].read_text(encoding="utf-8").splitlines()]
    assert len(documents) == texts.DOCUMENTS
    assert all(len(each) == texts.LENGTH for each in documents)
    trained = [read_module(name)[: texts.LENGTH] for name in SUBJECTS["python"].training]
    assert not set(documents) & set(trained)
