"""Prints problems and JSON values, and makes the console that all commands print to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from stacker.errors import Mark, Problem, Severity, StackerError, raise_problems

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold blue"}


def make_console(*, stderr: bool = False) -> Console:
    """The rich console of every command; it prints text as it is, so `[red]` and `:smile:` are not markup."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_problems(problems: Iterable[Problem]) -> None:
    """Print each problem on standard error: its place and message, the line of the spec with a caret, and the hint."""
    console = make_console(stderr=True)
    for problem in problems:
        place = f"{problem.mark}: " if problem.mark else ""
        head = Text(place, "bold").append(f"{problem.severity}: ", STYLES[problem.severity]).append(problem.message)
        console.print(head, soft_wrap=True)
        for line in _quote_line(problem.mark):
            console.print(Text(line, "dim"), soft_wrap=True)
        for line in problem.hint.splitlines():
            console.print(Text(f"  hint: {line}", "cyan"), soft_wrap=True)


def print_warnings(problems: Iterable[Problem]) -> None:
    """Print the warnings and notes among the problems on standard error; errors are not printed."""
    print_problems(problem for problem in problems if problem.severity is not Severity.ERROR)


def find_exit_code(errors: Iterable[Problem]) -> int:
    """The exit code of a command that has printed these errors; 0 if there are no errors."""
    try:
        raise_problems(errors)
    except StackerError as error:
        return error.exit_code
    return 0


def _quote_line(mark: Mark | None) -> tuple[str, ...]:
    """A pair of texts: the line that `mark` points at, and a line with a caret below the marked column.

    Returns () if `mark` has no line or the line cannot be read.
    """
    if mark is None or mark.line is None:
        return ()
    try:
        lines = Path(mark.source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    if mark.line > len(lines):
        return ()
    line = lines[mark.line - 1]
    return (f"  {line}", "  " + " " * ((mark.column or 1) - 1) + "^")


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as a JSON value; line and column start at 1."""
    mark = problem.mark
    return {
        "severity": str(problem.severity),
        "blame": str(problem.blame),
        "message": problem.message,
        "hint": problem.hint,
        "source": mark.source if mark else None,
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
    }


def problems_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as JSON values, in the same order."""
    return [problem_json(problem) for problem in problems]


def print_json(content: Any) -> None:
    """Print a JSON value on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
