"""Defines Problem, which a check yields, the error classes with their exit codes, and helpers that format messages.

    StackerError            1   a bug in stacker
    ├── SpecError           2   the spec, or how a command was called
    ├── DonorError          3   a donor is missing, broken, gated or unreachable
    ├── UnsafeError         4   input refused because reading it could do harm
    ├── StorageError        5   reading or writing failed
    ├── LockedError         6   another run is writing the output
    └── VerifyError         7   the output on the disk differs from its plan

`raise_problems` raises all Problems that are errors together, as one StackerError.
"""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from typing import Self, TypeVar

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Mark:
    """The place that a message is about: a line and a column, counted from 1, of a file or other `source`.

    `line` and `column` are None when the message is about the whole source.
    """

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
    """What caused a problem; the cause of the most serious error determines the exit code of a command."""

    SPEC = "spec"
    DONOR = "donor"
    UNSAFE = "unsafe"
    STORAGE = "storage"
    LOCKED = "locked"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong in a spec, a donor or an output.

    `hint` says what the user can do ("" for no hint), `mark` is the place of the problem (None if it has none),
    `severity` says how serious the problem is, and `blame` what caused it.
    """

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
    """The base class of all errors that stacker raises on purpose; the command then exits with `exit_code`."""

    exit_code = 1
    blame = Blame.SPEC

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    @classmethod
    def of(cls, message: str, hint: str = "", mark: Mark | None = None) -> Self:
        """Make an error of this class with one problem, which has this message, hint and mark."""
        return cls(Problem(message, hint, mark, blame=cls.blame))


class SpecError(StackerError):
    """The spec is wrong, or a command got invalid arguments."""

    exit_code = 2


class DonorError(StackerError):
    """A donor is missing, broken, gated or unreachable."""

    exit_code = 3
    blame = Blame.DONOR


class UnsafeError(StackerError):
    """Input was refused because reading it could run code or lead out of the donor's folder."""

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


class ProblemWarning(UserWarning):
    """A problem that does not stop what is done, for Python's module `warnings`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.message} ({problem.hint})" if problem.hint else problem.message)
        self.problem = problem


_ERROR_CLASSES: dict[Blame, type[StackerError]] = {
    error.blame: error for error in (VerifyError, LockedError, StorageError, UnsafeError, DonorError, SpecError)
}


def select_errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems whose severity is ERROR; only these stop a build."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def select_warnings(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems whose severity is WARNING."""
    return tuple(problem for problem in problems if problem.severity is Severity.WARNING)


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise all errors among `problems` as one exception, whose class belongs to the most serious error.

    Unsafe input is the most serious, then the other causes in the order of `Blame`. Nothing is raised if no problem is
    an error.
    """
    errors = select_errors(problems)
    if not errors:
        return
    blames = {problem.blame for problem in errors}
    gravest = next(blame for blame in (Blame.UNSAFE, *Blame) if blame in blames)
    raise _ERROR_CLASSES[gravest](*errors)


def attempt(problems: list[Problem], make: Callable[[], Made]) -> Made | None:
    """What `make` returns; if it raises a StackerError, None, and the error's problems are added to `problems`."""
    try:
        return make()
    except StackerError as error:
        problems += error.problems
        return None


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """The problems without duplicates: errors first, then by text and by place in the text."""
    found = [*dict.fromkeys(problems)]
    texts = {
        source: number for number, source in enumerate(dict.fromkeys(each.mark.source for each in found if each.mark))
    }

    def place(problem: Problem) -> tuple[bool, int, int, int]:
        mark = problem.mark or Mark("")
        return problem.severity is not Severity.ERROR, texts.get(mark.source, -1), mark.line or 0, mark.column or 0

    return sorted(found, key=place)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the known word that is most similar or, if none is similar, the known words.

    Two words that are equally similar are both named. The hint is "" if no words are known. Of many known words, only
    those that begin or end like `word` are compared with it, so that many misspelt words do not take long.
    """
    options = _sort_words(tuple(known))
    word = word[:_LONGEST_WORD]
    close = difflib.get_close_matches(word, options.near(word), n=2, cutoff=0.6)
    if close:
        ratios = [difflib.SequenceMatcher(None, each, word).ratio() for each in close]
        equal = [each for each, ratio in zip(close, ratios, strict=True) if ratio == ratios[0]]
        return "did you mean " + " or ".join(f"'{each}'" for each in equal) + "?"
    more = f" and {len(options.words) - _MOST_LISTED} more" if len(options.words) > _MOST_LISTED else ""
    return f"known: {', '.join(options.words[:_MOST_LISTED])}{more}" if options.words else ""


def find_answer(hint: str) -> str:
    """The word that a hint such as that of `did_you_mean` names, if it names exactly one; else ""."""
    found = _ANSWER.search(hint)
    return found[1] if found else ""


_ANSWER = re.compile(r"^did you mean '([^']+)'(?:\?| where it says '[^']+'\?)$", re.MULTILINE)
_MOST_LISTED = 60
_LONGEST_WORD = 200
_NEIGHBOURS = 6


@dataclass(frozen=True, slots=True)
class _Words:
    """Words in alphabetical order, and the same words spelt backwards, also in alphabetical order."""

    words: tuple[str, ...]
    reversed: tuple[str, ...]

    def near(self, word: str) -> list[str]:
        """The words to compare with `word`: all of them or, if there are many, its neighbours in both orders."""
        if len(self.words) <= _MOST_LISTED:
            return list(self.words)
        begins = _find_neighbours(self.words, word)
        ends = (each[::-1] for each in _find_neighbours(self.reversed, word[::-1]))
        return sorted({*begins, *ends})


def _find_neighbours(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    place = bisect.bisect(words, word)
    return words[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]


@lru_cache(maxsize=4)
def _sort_words(known: tuple[str, ...]) -> _Words:
    words = sorted(set(known))
    return _Words(tuple(words), tuple(sorted(word[::-1] for word in words)))


def ranges_text(numbers: Iterable[int]) -> str:
    """Format sorted integers as text, with consecutive integers as a range: `3, 7–9`."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def layers_text(numbers: Iterable[int]) -> str:
    """Format sorted layer numbers as text, with consecutive numbers as a range: `layer 3`, `layers 3, 7–9`."""
    known = list(numbers)
    return f"layer{'s' if len(known) > 1 else ''} {ranges_text(known)}"


def escape_text(text: str, limit: int = 120) -> str:
    """Make `text` safe for a terminal: unprintable characters are escaped, and at most `limit` characters are kept."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return safe if len(text) <= limit else safe[:limit] + "…"
