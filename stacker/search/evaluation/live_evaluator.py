"""Measures candidates as live stacks that share their weights, in comparison with the start on the same windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stacker.errors import StackerError
from stacker.live.forecast.blueprint import Blueprint
from stacker.live.head import Head
from stacker.live.live_stack import LiveStack
from stacker.measure.candidates import count_layers
from stacker.measure.questions.questions import Question
from stacker.search.evaluation.known_states import KnownStates
from stacker.search.evaluation.objectives import COSTS, LOSS, QUESTIONS
from stacker.search.evaluation.reading import Enter, Heat, is_behind, is_ruined, make_heats, run_all
from stacker.search.evaluation.readings import LiveReading, Reading, explain_failure
from stacker.search.evaluation.statistics import average_texts
from stacker.search.evaluation.windows import Part, draw_windows
from stacker.search.ranking import Floats
from stacker.search.results import Measured, Objective, Point, Trial


@dataclass(frozen=True, slots=True)
class Course:
    """What candidates are measured on: `count` windows of `part` a generation, read in batches of `batch` tokens."""

    part: Part
    objectives: tuple[Objective, ...]
    count: int
    seed: int
    questions: tuple[Question, ...] = ()
    batch: int = 2048


@dataclass
class _Round:
    """The windows of one generation with the start's losses on them, and its questions with the start's losses."""

    generation: int
    heats: tuple[Heat, ...]
    start: Floats
    questions: tuple[Question, ...]
    answers: Floats


@dataclass
class LiveEvaluator:
    """Measures points: `decode` makes a Stack, which shares its weights with `shared` when it is loaded.

    Losses are those of the candidate minus those of `start`, a Stack, on equal windows: so generations can be compared.
    With `known`, candidates skip layers whose results are known.
    """

    decode: Callable[[Point], Any]
    start: Any
    shared: LiveStack
    course: Course
    known: KnownStates | None = None
    _round: _Round | None = field(default=None, repr=False)
    _tokenizer: Any = field(default=None, repr=False)

    def measure(self, point: Point, generation: int, earlier: Sequence[Trial]) -> Measured:
        """What a point's stack loses or gains against the start; why it cannot be measured, if that is so.

        A stack with the plan of an earlier trial of the generation is not measured again.
        """
        turn = self._begin(generation)
        try:
            stack = self._open(self.decode(point))
        except StackerError as error:
            return Measured(None, problem=error.problems[0].message)
        plan = stack.blueprint.plan.id
        same = next((trial.measured for trial in earlier if trial.measured.plan == plan), None)
        found = same or replace(self._run(stack, turn, earlier), plan=plan, layers=count_layers(stack.blueprint))
        stack.release()
        return found

    def expect(self, points: Sequence[Point], generation: int, earlier: Sequence[Trial]) -> None:
        """Do nothing: points are measured one after the other."""

    def _open(self, stack: Any) -> Reading:
        live = self.shared.rearranged(stack)
        return LiveReading(live, self._prepare, self._find_tokenizer, self.course.batch)

    def _find_tokenizer(self, live: LiveStack) -> Any:
        if self._tokenizer is None:
            self._tokenizer = live.load_tokenizer()
        return self._tokenizer

    def _begin(self, generation: int) -> _Round:
        if self._round is None or self._round.generation != generation:
            heats, asked = self._draw_items(generation)
            if self.known is not None:
                self.known.clear(sum(len(heat.batches) for heat in heats))
            start = self._open(self.start)
            losses = np.concatenate([start.read(heat) for heat in heats])
            self._round = _Round(generation, heats, losses, asked, start.answer(asked))
            start.release()
        return self._round

    def _draw_items(self, generation: int) -> tuple[tuple[Heat, ...], tuple[Question, ...]]:
        """The windows and the questions of a generation."""
        course = self.course
        windows = draw_windows(course.part, generation, course.count, course.seed)
        return make_heats(windows, len(course.part.texts), course.batch), self._draw_questions(generation)

    def _prepare(self, head: Head) -> Enter:
        return run_all if self.known is None else self.known.prepare(head)

    def _draw_questions(self, generation: int) -> tuple[Question, ...]:
        """Other questions for each generation, as many as windows."""
        course = self.course
        if QUESTIONS not in course.objectives:
            return ()
        source = np.random.default_rng((course.seed, generation))
        drawn = source.permutation(len(course.questions))[: course.count]
        return tuple(course.questions[int(at)] for at in sorted(drawn))

    def _run(self, stack: Reading, turn: _Round, earlier: Sequence[Trial]) -> Measured:
        """Run a candidate through the race."""
        try:
            changes = self._race(stack, turn, earlier)
            answers = stack.answer(turn.questions) - turn.answers
        except (StackerError, RuntimeError) as error:
            return Measured(None, problem=explain_failure(error))
        values = tuple(self._find_value(each, changes, answers, stack.blueprint) for each in self.course.objectives)
        error_of_loss = average_texts(self._divide(changes))[1] if self.course.objectives[0] is LOSS else None
        read = [self._average(changes[: heat.stop]) for heat in turn.heats if heat.stop <= len(changes)]
        return Measured(values, error_of_loss, read[0], len(changes), half=read[1] if len(read) > 1 else None)

    def _race(self, stack: Reading, turn: _Round, earlier: Sequence[Trial]) -> Floats:
        """The changes of the windows' losses, of the first heats alone if the candidate is behind in one of them."""
        changes = np.empty(0)
        for number, heat in enumerate(turn.heats):
            changes = np.concatenate([changes, stack.read(heat) - turn.start[heat.start : heat.stop]])
            if is_behind(self._average(changes), list_values(earlier, number)) or (number == 0 and is_ruined(changes)):
                break
        return changes

    def _average(self, changes: Floats) -> float:
        return average_texts(self._divide(changes))[0]

    def _divide(self, changes: Floats) -> list[Floats]:
        """The changes text by text: windows of the texts are drawn in turn."""
        count = len(self.course.part.texts)
        return [changes[at::count] for at in range(count)]

    def _find_value(self, objective: Objective, changes: Floats, answers: Floats, blueprint: Blueprint) -> float:
        if objective.name in COSTS:
            return COSTS[objective.name].measure(blueprint)
        if objective is QUESTIONS:
            return float(answers.mean())
        texts = dict(zip(self.course.part.texts, self._divide(changes), strict=True))
        name = objective.name.partition(":")[2]
        return float(texts[name].mean()) if name else average_texts([*texts.values()])[0]


def list_values(trials: Sequence[Trial], heat: int) -> list[float]:
    """The values of trials after heat number `heat`; none after the last, which ends the race."""
    found = [(trial.measured.first, trial.measured.half)[heat] if heat < 2 else None for trial in trials]
    return [each for each in found if each is not None]
