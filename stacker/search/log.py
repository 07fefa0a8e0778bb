"""The log of a search: a journal whose lines hold trials, or the losses of a stack on a part of the texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from stacker.errors import Mark, SpecError
from stacker.search.journal import Journal, Kind, Lines, open_journal, read_lines
from stacker.search.results import Losses, Measured, Proposal, Trial

KIND = Kind("search", 1)
_AGAIN = "the log was changed or is damaged: search again, with another --log"
_TRIAL = TypeAdapter(Trial)
_LARGEST_LOSS = 700
"""The largest loss whose perplexity is a number."""
_LARGEST = 1e12
"""The largest magnitude that a value in a log can have: a model of a million million parameters."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a log says; `head` is its first line."""

    head: Mapping[str, Any]
    trials: tuple[Trial, ...]
    losses: tuple[Losses, ...]


def read_log(path: Path) -> Record:
    """Read a log; SpecError if it is none, StorageError if it cannot be read."""
    return _read_record(read_lines(path, KIND), path)


def _read_record(lines: Lines, path: Path) -> Record:
    trials, losses = list[Trial](), list[Losses]()
    named = lines.head.get("objectives", [])
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise SpecError.of("the objectives of this log are no list of names", _AGAIN, Mark(str(path), 1))
    for number, line in enumerate(lines.entries, 2):
        with _explain_line(line, Mark(str(path), number)):
            if "trial" in line:
                trials.append(_read_trial(line["trial"]))
            else:
                losses.append(_read_losses(line["losses"]))
    return Record(lines.head, tuple(trials), tuple(losses))


@contextmanager
def _explain_line(line: Mapping[str, Any], mark: Mark) -> Iterator[None]:
    """Turn what reading a damaged line raises into a SpecError with its number."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = "a trial" if "trial" in line else "the losses of a stack"
        raise SpecError.of(f"this line is not {what}", _AGAIN, mark) from error


def _read_trial(line: Mapping[str, Any]) -> Trial:
    trial = _TRIAL.validate_python(line)
    found = trial.measured
    numbers = [*(found.values or ()), found.error, found.first, found.half, trial.seconds]
    if not all(each is None or abs(each) <= _LARGEST for each in numbers) or found.values == ():
        raise ValueError("no values of a trial")
    return trial


def _read_losses(line: Mapping[str, Any]) -> Losses:
    texts, losses = tuple(line["texts"]), tuple(tuple(map(float, each)) for each in line["losses"])
    if not all(abs(each) <= _LARGEST_LOSS for passages in losses for each in passages):
        raise ValueError("no losses")
    return Losses(line["part"], line["name"], line["plan"], texts, losses)


@dataclass
class Log:
    """A log that is being written; `trials` are those of this run, of which the first may come from the file.

    Without a path, nothing is written. As a context manager, it holds the file's lock.
    """

    path: Path | None
    trials: list[Trial] = field(default_factory=list)
    _known: list[Trial] = field(default_factory=list, repr=False)
    _losses: dict[tuple[str, str, str], Losses] = field(default_factory=dict, repr=False)
    _journal: Journal | None = field(default=None, repr=False)
    _clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _last: float = 0.0

    def __enter__(self) -> Self:
        self._last = self._clock()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._journal is not None:
            self._journal.close()

    @property
    def losses(self) -> tuple[Losses, ...]:
        """All losses on parts of the texts, in the order in which they were measured."""
        return tuple(self._losses.values())

    @property
    def recalled(self) -> int:
        """How many trials the file had."""
        return len(self._known)

    def try_point(self, phase: str, generation: int, proposal: Proposal, measure: Callable[[], Measured]) -> Trial:
        """The next trial, as the file has it or as `measure` finds it; SpecError if the file has another."""
        number = len(self.trials)
        if number < len(self._known):
            trial = self._known[number]
            self._check_same(trial, phase, generation, proposal)
            self._last = self._clock()
        else:
            measured = measure()
            now = self._clock()
            trial = Trial(number, phase, generation, proposal, measured, round(now - self._last, 3))
            self._last = now
            self._write({"trial": asdict(trial)})
        self.trials.append(trial)
        return trial

    def recall_losses(self, part: str, name: str, plan: str, measure: Callable[[], Losses]) -> Losses:
        """The losses of a stack on a part of the texts, as the file has them or as `measure` finds them.

        Those of another stack with the same plan are taken over.
        """
        key = (part, name, plan)
        if key not in self._losses:
            same = next((each for each in self.losses if (each.part, each.plan) == (part, plan)), None)
            self._losses[key] = replace(same, name=name) if same else measure()
            self._write({"losses": asdict(self._losses[key])})
        return self._losses[key]

    def _check_same(self, known: Trial, phase: str, generation: int, proposal: Proposal) -> None:
        if (known.phase, known.generation, known.proposal) != (phase, generation, proposal):
            message = f"trial {known.number} of the log is not what this search tries"
            hint = "the log is of another version or was changed; name a new file with --log"
            raise SpecError.of(message, hint, Mark(str(self.path)))

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._journal is not None:
            self._journal.add(line)


def open_log(path: Path | None, head: Mapping[str, Any]) -> Log:
    """Open the log at `path`, which is made if it does not exist; without a path, nothing is kept.

    SpecError if the file is of a search with another `head`, LockedError if another process writes it.
    """
    if path is None:
        return Log(None)
    journal, lines = open_journal(path, KIND, head)
    try:
        record = _read_record(lines, path)
    except BaseException:
        journal.close()
        raise
    losses = {(each.part, each.name, each.plan): each for each in record.losses}
    return Log(path, _known=[*record.trials], _losses=losses, _journal=journal)
