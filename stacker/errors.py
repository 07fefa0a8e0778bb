"""Problems as values (Problem, with its place in a text, Mark), the error tree with exit codes, and message wording.

    StackerError            1   a defect of ours
    ├── SpecError           2   the spec, or how a command was called
    ├── DonorError          3   a donor is missing, broken, gated or unreachable
    ├── UnsafeError         4   input refused because reading it could do harm
    ├── StorageError        5   reading or writing failed
    ├── LockedError         6   another run holds the output
    └── VerifyError         7   the output on the disk differs from its plan

Every error carries Problems. Checks yield problems, and `raise_problems` raises them together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Self


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text; `line` and `column` count from 1, and are None for the source as a whole."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class Severity(StrEnum):
    """How serious a problem is: errors stop a build, warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Blame(StrEnum):
    """What caused a problem; it determines the exit code."""

    SPEC = "spec"
    DONOR = "donor"
    UNSAFE = "unsafe"
    STORAGE = "storage"
    LOCKED = "locked"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with a hint at what to do and its place in the spec."""

    message: str
    hint: str = ""
    mark: Mark | None = None
    severity: Severity = Severity.ERROR
    blame: Blame = Blame.SPEC

    def __str__(self) -> str:
        place = f"{self.mark}: " if self.mark else ""
        level = "" if self.severity is Severity.ERROR else f"{self.severity}: "
        advice = "".join(f"\n  hint: {line}" for line in self.hint.splitlines())
        return f"{place}{level}{self.message}{advice}"


class StackerError(Exception):
    """The base of all errors that stacker raises on purpose; `exit_code` is that of the command line."""

    exit_code = 1
    blame = Blame.SPEC

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    @classmethod
    def of(cls, message: str, hint: str = "", mark: Mark | None = None) -> Self:
        """An error of this class with a single problem."""
        return cls(Problem(message, hint, mark, blame=cls.blame))


class SpecError(StackerError):
    """The spec is wrong, or a command got invalid arguments."""

    exit_code = 2


class DonorError(StackerError):
    """A donor is missing, broken, gated or unreachable."""

    exit_code = 3
    blame = Blame.DONOR


class UnsafeError(StackerError):
    """Input that could run code or lead out of its folder."""

    exit_code = 4
    blame = Blame.UNSAFE


class StorageError(StackerError):
    """Reading or writing failed: no space, no permission, a failing disk."""

    exit_code = 5
    blame = Blame.STORAGE


class LockedError(StackerError):
    """Another run is writing the same output."""

    exit_code = 6
    blame = Blame.LOCKED


class VerifyError(StackerError):
    """The output differs from its plan."""

    exit_code = 7
    blame = Blame.VERIFY


_ERROR_CLASSES: dict[Blame, type[StackerError]] = {
    error.blame: error for error in (VerifyError, LockedError, StorageError, UnsafeError, DonorError, SpecError)
}


def select_errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems of severity error, which stop a build."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise all errors among `problems` as one exception, whose class is that of the gravest blame."""
    errors = select_errors(problems)
    if not errors:
        return
    blames = {problem.blame for problem in errors}
    gravest = next(blame for blame in (Blame.UNSAFE, *Blame) if blame in blames)
    raise _ERROR_CLASSES[gravest](*errors)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the most similar known word, or else all known words."""
    options = sorted(set(known))
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(options)}" if options else ""


def ranges_text(numbers: Iterable[int]) -> str:
    """Sorted numbers as text, with runs joined: `3, 7–9`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def layers_text(numbers: Iterable[int]) -> str:
    """The same after the word layer: `layer 3`, `layers 7–9`."""
    known = list(numbers)
    return f"layer{'s' if len(known) > 1 else ''} {ranges_text(known)}"


def escape_text(text: str, limit: int = 120) -> str:
    """`text` made safe for a terminal: unprintable characters are escaped, and more than `limit` characters cut off."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return safe if len(text) <= limit else safe[:limit] + "…"
