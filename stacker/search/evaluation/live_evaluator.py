"""Measures candidates as live stacks that share their weights, in comparison with the start on the same windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stacker.errors import StackerError
from stacker.live.head import Head, find_head
from stacker.live.live_stack import LiveStack
from stacker.measure.candidates import Candidate
from stacker.measure.questions.answering import judge_choices, score_choices
from stacker.measure.questions.questions import Question
from stacker.measure.results import SURPRISE
from stacker.measure.score_cache import ScoreCache
from stacker.search.evaluation.known_states import KnownStates
from stacker.search.evaluation.objectives import COSTS, LOSS, QUESTIONS
from stacker.search.evaluation.reading import Enter, Heat, is_behind, is_ruined, make_heats, read_heat, run_all
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
            live = self.shared.rearranged(self.decode(point))
        except StackerError as error:
            return Measured(None, problem=error.problems[0].message)
        plan = live.blueprint.plan.id
        same = next((trial.measured for trial in earlier if trial.measured.plan == plan), None)
        found = same or replace(self._run(live, turn, earlier), plan=plan, layers=len(live.layers))
        live.release()
        return found

    def _begin(self, generation: int) -> _Round:
        if self._round is None or self._round.generation != generation:
            course = self.course
            windows = draw_windows(course.part, generation, course.count, course.seed)
            heats = make_heats(windows, len(course.part.texts), course.batch)
            asked = self._draw_questions(generation)
            if self.known is not None:
                self.known.clear(sum(len(heat.batches) for heat in heats))
            start = self.shared.rearranged(self.start)
            answers = self._answer(start, asked)
            self._round = _Round(generation, heats, self._read_start(start, heats), asked, answers)
            start.release()
        return self._round

    def _read_start(self, start: LiveStack, heats: Sequence[Heat]) -> Floats:
        head = find_head(start)
        enter = self._prepare(head)
        return np.concatenate([read_heat(head, heat, enter) for heat in heats])

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

    def _run(self, live: LiveStack, turn: _Round, earlier: Sequence[Trial]) -> Measured:
        """Run a candidate through the race."""
        try:
            changes = self._race(live, turn, earlier)
            answers = self._answer(live, turn.questions) - turn.answers
        except StackerError as error:
            return Measured(None, problem=error.problems[0].message)
        except RuntimeError as error:  # of torch, in a layer that does not fit or for want of memory
            return Measured(None, problem=f"cannot run: {str(error).splitlines()[0]}")
        values = tuple(self._find_value(each, changes, answers, live) for each in self.course.objectives)
        error_of_loss = average_texts(self._divide(changes))[1] if self.course.objectives[0] is LOSS else None
        read = [self._average(changes[: heat.stop]) for heat in turn.heats if heat.stop <= len(changes)]
        return Measured(values, error_of_loss, read[0], len(changes), half=read[1] if len(read) > 1 else None)

    def _race(self, live: LiveStack, turn: _Round, earlier: Sequence[Trial]) -> Floats:
        """The changes of the windows' losses, of the first heats alone if the candidate is behind in one of them."""
        head, changes = find_head(live), np.empty(0)
        enter = self._prepare(head)
        for number, heat in enumerate(turn.heats):
            changes = np.concatenate([changes, read_heat(head, heat, enter) - turn.start[heat.start : heat.stop]])
            if is_behind(self._average(changes), _list_values(earlier, number)) or (number == 0 and is_ruined(changes)):
                break
        return changes

    def _average(self, changes: Floats) -> float:
        return average_texts(self._divide(changes))[0]

    def _divide(self, changes: Floats) -> list[Floats]:
        """The changes text by text: windows of the texts are drawn in turn."""
        count = len(self.course.part.texts)
        return [changes[at::count] for at in range(count)]

    def _find_value(self, objective: Objective, changes: Floats, answers: Floats, live: LiveStack) -> float:
        if objective.name in COSTS:
            return COSTS[objective.name].measure(live.blueprint)
        if objective is QUESTIONS:
            return float(answers.mean())
        texts = dict(zip(self.course.part.texts, self._divide(changes), strict=True))
        name = objective.name.partition(":")[2]
        return float(texts[name].mean()) if name else average_texts([*texts.values()])[0]

    def _answer(self, live: LiveStack, questions: Sequence[Question]) -> Floats:
        """The loss of the right answer to each question."""
        if not questions:
            return np.empty(0)
        if self._tokenizer is None:
            self._tokenizer = live.load_tokenizer()
        candidate = Candidate("candidate", live.blueprint, live.settings, lambda: live)
        candidate.__dict__["tokenizer"] = self._tokenizer
        choices, _ = score_choices(candidate, questions, self.course.batch, ScoreCache(None))
        return np.array(judge_choices(questions, choices)[SURPRISE].sums)


def _list_values(trials: Sequence[Trial], heat: int) -> list[float]:
    """The values of trials after heat number `heat`; none after the last, which ends the race."""
    found = [(trial.measured.first, trial.measured.half)[heat] if heat < 2 else None for trial in trials]
    return [each for each in found if each is not None]
