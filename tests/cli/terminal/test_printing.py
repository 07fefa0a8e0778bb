"""Problems are printed with place, line, caret and hint; of a great many, only the first are."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.cli.terminal.printing import MOST_PROBLEMS, print_problems
from stacker.errors import Mark, Problem


def test_a_problem_shows_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The quoted line has a caret below the marked column, and each line of the hint has its own line."""
    path = tmp_path / "stack.yml"
    path.write_text("stacker: 1\nstack: [x]\n")
    print_problems([Problem("wrong", "do this\nor that", Mark(str(path), 2, 9))])
    expected = f"{path}:2:9: error: wrong\n  stack: [x]\n          ^\n  hint: do this\n  hint: or that\n"
    assert capsys.readouterr().err == expected


def test_a_great_many_problems_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The first MOST_PROBLEMS are printed, the others counted."""
    print_problems(Problem(f"problem {number}") for number in range(MOST_PROBLEMS + 5))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == [f"error: problem {MOST_PROBLEMS - 1}", "and 5 more problems"]
    assert len(lines) == MOST_PROBLEMS + 1
