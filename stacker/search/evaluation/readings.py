"""Reads heats of windows and questions with a stack: one in memory, or one whose losses workers have found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from stacker.errors import SpecError, StackerError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.head import Head, find_head
from stacker.live.live_stack import LiveStack, Settings
from stacker.live.tokenizer import load_tokenizer
from stacker.measure.candidates import Candidate
from stacker.measure.questions.answering import judge_choices, score_choices
from stacker.measure.questions.questions import Question
from stacker.measure.results import SURPRISE
from stacker.measure.score_cache import ScoreCache
from stacker.measure.workers.candidates import load_blueprint
from stacker.search.evaluation.reading import Enter, Heat, read_heat, run_all
from stacker.search.ranking import Floats

ANSWERS = -1
"""The key of the answers among what a worker has found."""
Found = Mapping[int, Floats | str]
"""What a worker has found: the losses of heats by their first windows, and those of answers; or why there are none."""
Prepare = Callable[[Head], Enter]
"""A function that is called once for each stack, and returns what surrounds the reading of its batches."""
Tokens = Callable[[LiveStack], Any]
"""Returns the tokenizer that questions are read with, which is that of the first stack that is asked."""


@dataclass
class LiveReading:
    """A stack in memory; questions are asked in batches of `batch` tokens."""

    live: LiveStack
    prepare: Prepare = field(repr=False)
    tokens: Tokens = field(repr=False)
    batch: int

    @cached_property
    def _head(self) -> Head:
        return find_head(self.live)

    @cached_property
    def _enter(self) -> Enter:
        return self.prepare(self._head)

    @property
    def blueprint(self) -> Blueprint:
        """What the stack was made from."""
        return self.live.blueprint

    def read(self, heat: Heat) -> Floats:
        """The mean loss of each window; SpecError if one is infinite or not a number."""
        return read_heat(self._head, heat, self._enter)

    def answer(self, questions: Sequence[Question]) -> Floats:
        """The loss of the right answer to each question."""
        if not questions:
            return np.empty(0)
        candidate = Candidate("candidate", self.live.blueprint, self.live.settings, lambda: self.live)
        candidate.__dict__["tokenizer"] = self.tokens(self.live)
        choices, _ = score_choices(candidate, questions, self.batch, ScoreCache(None))
        return np.array(judge_choices(questions, choices)[SURPRISE].sums)

    def release(self) -> None:
        """Let the stack go."""
        self.live.release()


@dataclass(frozen=True, slots=True)
class FoundReading:
    """A stack whose losses workers have found; `fetch` asks them for a heat that is missing."""

    blueprint: Blueprint
    found: Found
    fetch: Callable[[Blueprint, Heat], Found] = field(repr=False)

    def read(self, heat: Heat) -> Floats:
        """The mean loss of each window; SpecError if they cannot be computed."""
        known = self.found if heat.start in self.found else self.fetch(self.blueprint, heat)
        return check_found(known[heat.start])

    def answer(self, questions: Sequence[Question]) -> Floats:
        """The loss of the right answer to each question."""
        return check_found(self.found[ANSWERS]) if questions else np.empty(0)

    def release(self) -> None:
        """Do nothing: the stack is not in memory."""


Reading = LiveReading | FoundReading


def check_found(found: Floats | str) -> Floats:
    """The losses; SpecError with the reason if there are none."""
    if isinstance(found, str):
        raise SpecError.of(found)
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What a worker is asked about one stack."""

    blueprint: Blueprint
    heats: tuple[Heat, ...]
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadingStudy:
    """What workers need to read with candidates: the stack that they share their weights with, and the start.

    Questions are read with the start's tokenizer, in batches of `batch` tokens.
    """

    shared: Blueprint
    start: Blueprint
    settings: Settings
    batch: int

    def open(self) -> Callable[[Asked], Found]:
        """Load the shared stack; returns the function that reads with a candidate."""
        live, kept = load_blueprint(self.shared, self.settings), list[Any]()

        def find_tokens(_live: LiveStack) -> Any:
            if not kept:
                kept.append(load_tokenizer(self.start.side_files, dict(self.start.plan.config)))
            return kept[0]

        def measure(asked: Asked) -> Found:
            reading = LiveReading(live.rearranged(asked.blueprint), lambda _head: run_all, find_tokens, self.batch)
            found = dict(_read_all(reading, asked))
            reading.release()
            return found

        return measure


def _read_all(reading: LiveReading, asked: Asked) -> Iterator[tuple[int, Floats | str]]:
    for heat in asked.heats:
        yield heat.start, _try(lambda heat=heat: reading.read(heat))  # type: ignore[misc]
    if asked.questions:
        yield ANSWERS, _try(lambda: reading.answer(asked.questions))


def _try(read: Callable[[], Floats]) -> Floats | str:
    try:
        return read()
    except (StackerError, RuntimeError) as error:
        return explain_failure(error)


def explain_failure(error: StackerError | RuntimeError) -> str:
    """Why a stack cannot be measured; a RuntimeError is of torch: a layer does not fit, or memory is short."""
    if isinstance(error, StackerError):
        return error.problems[0].message
    return f"cannot run: {next(iter(str(error).splitlines()), type(error).__name__)}"
