"""Prints problems and JSON values, and makes the console that all commands print to."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from stacker.errors import Mark, Problem, ProblemWarning, Severity, StackerError, raise_problems
from stacker.io.files.regular_files import open_regular
from stacker.io.files.spec_files import MAX_SPEC_BYTES

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal acts on instead of showing, and those that reverse the direction of text."""
MOST_PROBLEMS = 1_000
STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold blue"}


class SafeConsole(Console):
    """A console that shows control characters in text as escapes, so that no file can steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield rich's styled pieces of text for an object to print, with control characters in text shown as escapes.

        The codes that rich itself writes for styles are not affected.
        """
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else escape_control(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


def escape_control(text: str) -> str:
    """Replace control characters in a text by visible escapes; line breaks and tabs stay."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def make_console(*, stderr: bool = False) -> Console:
    """The rich console of every command; it prints text as it is, so `[red]` and `:smile:` are not markup."""
    console = SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if console.width < 1:  # COLUMNS=0, as some shells export it
        console.width = 80
    return console


def print_problems(problems: Iterable[Problem]) -> None:
    """Print each problem on standard error: its place and message, the line of the spec with a caret, and the hint.

    Of more than MOST_PROBLEMS problems, the rest is only counted.
    """
    console = make_console(stderr=True)
    read = cache(_read_lines)
    found = list(problems)
    for problem in found[:MOST_PROBLEMS]:
        console.print(_draw_problem(problem, read), soft_wrap=True)
    if len(found) > MOST_PROBLEMS:
        console.print(f"and {len(found) - MOST_PROBLEMS:,} more problems", soft_wrap=True)


def _draw_problem(problem: Problem, read: Callable[[str], Sequence[str]]) -> Text:
    place = f"{problem.mark}: " if problem.mark else ""
    drawn = Text(place, "bold").append(f"{problem.severity}: ", STYLES[problem.severity]).append(problem.message)
    for line in _quote_line(problem.mark, read):
        drawn.append(f"\n{line}", "dim")
    for line in problem.hint.splitlines():
        drawn.append(f"\n  hint: {line}", "cyan")
    return drawn


def print_warnings(problems: Iterable[Problem]) -> None:
    """Print the warnings and notes among the problems on standard error; errors are not printed."""
    print_problems(problem for problem in problems if problem.severity is not Severity.ERROR)


@contextmanager
def print_python_warnings() -> Iterator[None]:
    """Inside, print each problem that the library passes to Python's module `warnings` as other problems are."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", ProblemWarning)
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **how: Any) -> None:
            if isinstance(message, ProblemWarning):
                print_warnings([message.problem])
            else:
                show_others(message, category, *place, **how)

        warnings.showwarning = show
        yield


def print_written(path: Path) -> None:
    """Say on standard error that a file was written."""
    make_console(stderr=True).print(f"wrote {path}", soft_wrap=True)


def find_exit_code(errors: Iterable[Problem]) -> int:
    """The exit code of a command that has printed these errors; 0 if there are no errors."""
    try:
        raise_problems(errors)
    except StackerError as error:
        return error.exit_code
    return 0


def _quote_line(mark: Mark | None, read: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """A pair of texts: the line that `mark` points at, and a line with a caret below the marked column.

    `read` returns the lines of a file. Returns () if `mark` has no line or the line cannot be read, and also for a line
    that is too long to be looked at.
    """
    if mark is None or mark.line is None or mark.line > len(lines := read(mark.source)):
        return ()
    line = lines[mark.line - 1]
    if len(line) > _LONGEST_LINE:
        return ()
    before = escape_control(line[: (mark.column or 1) - 1])
    return (f"  {line}", "  " + " " * len(before) + "^")


_LONGEST_LINE = 1000


def _read_lines(source: str) -> Sequence[str]:
    """The lines of a spec file; () for anything but a regular file, because a pipe can be read only once."""
    try:
        fd = open_regular(Path(source))
    except StackerError:
        return ()
    with os.fdopen(fd, "rb") as file:
        try:
            return file.read(MAX_SPEC_BYTES).decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return ()


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
