"""The tool that runs mergekit's tests with stacker, tried on a small copy of mergekit's source tree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.donors import write_llama
from tools.mergekit_tests import Outcome, run_tests, table

MERGE = "def run_merge(config, out_path, options=None):\n    raise AssertionError('not replaced')\n"
TESTS = """\
import os
import pytest
from mergekit.merge import run_merge

class Config:
    def __init__(self, method):
        self.method = method
    def to_yaml(self):
        model = os.environ["DONOR"]
        return f"merge_method: {self.method}\\nslices:\\n  - sources: [{{model: {model}, layer_range: [0, 2]}}]\\n"

class TestMerges:
    def test_good(self, tmp_path):
        run_merge(Config("passthrough"), out_path=str(tmp_path))
        assert (tmp_path / "config.json").exists()
    def test_bad(self, tmp_path):
        run_merge(Config("unheard_of"), out_path=str(tmp_path))
    def test_bad_as_expected(self, tmp_path):
        with pytest.raises(ValueError):
            run_merge(Config("unheard_of"), out_path=str(tmp_path))

def test_of_something_else():
    assert True
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package `mergekit` and its tests."""
    for folder, name, text in (("mergekit", "merge.py", MERGE), ("tests", "test_it.py", TESTS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
        (tmp_path / folder / name).write_text(text)
    monkeypatch.setenv("DONOR", str(write_llama(tmp_path / "donor")))
    return tmp_path


def test_tests_that_merge_are_reported(checkout: Path) -> None:
    """Only tests that merge are reported, with stacker's message if they fail."""
    outcomes = run_tests(checkout, sys.executable, f"{sys.executable} -m stacker")
    assert [each.test for each in outcomes] == [
        "TestMerges.test_good",
        "TestMerges.test_bad",
        "TestMerges.test_bad_as_expected",
    ]
    assert [each.passed for each in outcomes] == [True, False, True]
    assert outcomes[1].reason == "merge_method 'unheard_of' is unknown"


def test_the_table_counts() -> None:
    """The table has a line with the number of passed tests and a row for each test."""
    text = table((Outcome("A.b", passed=True), Outcome("A.c", passed=False, reason="why")))
    assert text.startswith("1 of 2 tests pass.\n")
    assert "| `A.b` | passes |  |\n| `A.c` | fails | why |\n" in text
