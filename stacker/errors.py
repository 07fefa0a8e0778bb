"""What can go wrong, as values: where (Mark), what (Problem), and the errors a program ends with.

    StackerError            1   a defect of ours
    ├── SpecError           2   the spec, or how a command was called
    ├── DonorError          3   a donor is missing, broken, gated, out of reach
    ├── UnsafeError         4   input refused because reading it could do harm
    ├── StorageError        5   reading or writing failed
    ├── LockedError         6   another run holds the output
    └── VerifyError         7   what is on the disk is not what the plan says

Every error carries Problems. Checks yield them; `raise_problems` is the one place that raises.
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
    """A place in a text: `line` and `column` count from 1; without them, the source as a whole."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class Severity(StrEnum):
    """How much a problem matters: an error stops the build, a warning and a note do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Blame(StrEnum):
    """Whose fault a problem is; it decides the exit code."""

    SPEC = "spec"
    DONOR = "donor"
    UNSAFE = "unsafe"
    STORAGE = "storage"
    LOCKED = "locked"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was found, what to write instead."""

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
    """The root: anything stacker raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1
    blame = Blame.SPEC

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    @classmethod
    def of(cls, message: str, hint: str = "", mark: Mark | None = None) -> Self:
        """An error of this kind with a single problem."""
        return cls(Problem(message, hint, mark, blame=cls.blame))


class SpecError(StackerError):
    """The spec is wrong, or a command was called with something that cannot be."""

    exit_code = 2


class DonorError(StackerError):
    """A donor is missing, broken, gated or out of reach."""

    exit_code = 3
    blame = Blame.DONOR


class UnsafeError(StackerError):
    """Input that could run code or leave its folder."""

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
    """The output is not what its plan says."""

    exit_code = 7
    blame = Blame.VERIFY


_KINDS: dict[Blame, type[StackerError]] = {
    kind.blame: kind for kind in (VerifyError, LockedError, StorageError, UnsafeError, DonorError, SpecError)
}


def select_errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Those of the problems that stop a build."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise all errors among `problems` as one exception; the kind is that of the gravest blame."""
    errors = select_errors(problems)
    if not errors:
        return
    blames = {problem.blame for problem in errors}
    gravest = next(blame for blame in (Blame.UNSAFE, *Blame) if blame in blames)
    raise _KINDS[gravest](*errors)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the closest known one, or else all that are known."""
    options = sorted(set(known))
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(options)}" if options else ""


def ranges_text(numbers: Iterable[int]) -> str:
    """Sorted numbers, runs joined: `3, 7–9`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def layers_text(numbers: Iterable[int]) -> str:
    """The same with the word before it: `layer 3`, `layers 7–9`."""
    known = list(numbers)
    return f"layer{'s' if len(known) > 1 else ''} {ranges_text(known)}"


def escape_text(text: str, limit: int = 120) -> str:
    """`text` from a file, fit for a terminal: unprintable characters escaped, long ones cut."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return safe if len(text) <= limit else safe[:limit] + "…"
