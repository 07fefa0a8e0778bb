"""Measures the points of a sweep on the same texts and questions, and judges the best on items that were kept apart.

How a point becomes a stack is not known here: `open_point` makes a Candidate of it, or raises a StackerError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stacker.errors import SpecError, StackerError
from stacker.measure.candidates import Candidate, Reference
from stacker.measure.comparison.evaluation import Examination, WatchFor, read_texts
from stacker.measure.intervals import FEWEST, estimate_difference, make_sample
from stacker.measure.mapping.chance import judge_luck
from stacker.measure.questions.answering import hash_readings, judge_choices, read_choices, score_choices
from stacker.measure.results import ACCURACY, LOSS, SURPRISE, Measure
from stacker.measure.text_scores import hash_windows, score_alone
from stacker.search.sweeps.grid import Axis, Point
from stacker.search.sweeps.results import Sweep, Trial
from stacker.search.sweeps.sweep_log import Entry, Samples, SweepLog

OpenPoint = Callable[[Point], Candidate]
KEEP_EACH = 3
"""Every third passage and question is kept apart, to judge the best by."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What decides which point is the best, and what is kept apart; the latter is empty if there is too little."""

    choice: Examination
    final: Examination


def divide(examination: Examination) -> Parts:
    """Divide passages and questions into two parts; nothing is kept apart if either part would be too small."""
    kinds: tuple[Sequence[object], ...] = (examination.passages, examination.questions)
    if any(0 < len(items) < FEWEST * KEEP_EACH for items in kinds):
        return Parts(examination, replace(examination, passages=(), questions=()))
    passages, questions = examination.passages, examination.questions
    kept = slice(KEEP_EACH - 1, None, KEEP_EACH)
    final = replace(examination, passages=passages[kept], questions=questions[kept])
    rest = [[each for at, each in enumerate(items) if at % KEEP_EACH != KEEP_EACH - 1] for items in kinds]
    choice = replace(examination, passages=tuple(rest[0]), questions=tuple(rest[1]))  # type: ignore[arg-type]
    return Parts(choice, final)


@dataclass
class Sweeping:
    """One sweep at work; `own` is the spec with its own values, whose windows of the texts all points read."""

    open_point: OpenPoint
    own: Candidate
    parts: Parts
    watch_for: WatchFor
    log: SweepLog = field(default_factory=SweepLog)
    cached: int = 0
    _texts: dict[int, Reference] = field(default_factory=dict, repr=False)

    def measure(self, candidate: Candidate, examination: Examination) -> Samples:
        """The measures of a stack, item by item; what the cache has is not computed. SpecError if it cannot be run."""
        try:
            return {**self._score_texts(candidate, examination), **self._ask(candidate, examination)}
        except (RuntimeError, MemoryError) as error:  # of torch, in a layer that does not fit or for want of memory
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise SpecError.of(f"cannot run: {reason}") from error

    def _score_texts(self, candidate: Candidate, examination: Examination) -> Samples:
        if not examination.passages:
            return {}
        texts, watch = self._read(candidate, examination), self.watch_for(f"{candidate.name}: tokens")
        scores = score_alone(candidate, texts.windows, texts.batches, examination.cache, watch)
        self.cached += scores.cached
        return {LOSS: make_sample(scores.losses, scores.passages, len(examination.passages))}

    def _ask(self, candidate: Candidate, examination: Examination) -> Samples:
        questions = examination.questions
        if not questions:
            return {}
        watch = self.watch_for(f"{candidate.name}: choices")
        choices, known = score_choices(candidate, questions, examination.batch, examination.cache, watch)
        self.cached += known
        judged = judge_choices(questions, choices)
        return {measure: judged[measure] for measure in (SURPRISE, ACCURACY)}

    def _read(self, candidate: Candidate, examination: Examination) -> Reference:
        """The windows of the texts; SpecError if a point's tokenizer divides them in another way than the spec's."""
        if id(examination) not in self._texts:
            self._texts[id(examination)] = read_texts(self.own, examination)
        known = self._texts[id(examination)]
        if not candidate.reads_as(self.own) and read_texts(candidate, examination).windows != known.windows:
            raise SpecError.of("it reads other tokens than the spec's own values, so losses cannot be compared")
        return known

    def recall(self, point: Point, candidate: Candidate) -> Entry:
        """What decides about a stack, from the log or measured now."""
        key = self._identify(candidate)
        known = self.log.entries.get(key)
        if known:
            self.cached += max(1, len(known.samples) - 1)
            return known
        try:
            entry = Entry(self.measure(candidate, self.parts.choice))
        except StackerError as error:
            entry = Entry({}, _say(error))
        self.log.add(key, point, entry)
        return entry

    def _identify(self, candidate: Candidate) -> str:
        """A hash of everything that a stack's measures depend on: its weights, and the tokens that it reads."""
        choice = self.parts.choice
        texts = hash_windows(self._read(candidate, choice).windows) if choice.passages else ""
        asked = hash_readings([*read_choices(candidate.tokenizer, choice.questions)]) if choice.questions else ""
        parts = {"stack": candidate.identity, "texts": texts, "questions": asked}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def try_point(self, point: Point) -> tuple[Trial, Samples]:
        """Measure one point; if that fails, the trial says why."""
        try:
            candidate = self.open_point(point)
            candidate.share_tokenizer(self.own)
            entry = self.recall(point, candidate)
        except StackerError as error:
            return Trial(point, failure=_say(error)), {}
        candidate.release()
        return _make_trial(point, candidate, entry), entry.samples


def _say(error: StackerError) -> str:
    return "; ".join(problem.message for problem in error.problems)


def _make_trial(point: Point, candidate: Candidate, entry: Entry) -> Trial:
    if entry.failure:
        return Trial(point, failure=entry.failure)
    figures = {measure: sample.value for measure, sample in entry.samples.items()}
    return Trial(point, candidate.blueprint.plan.id, candidate.layers, figures)


def sweep(name: str, axes: Sequence[Axis], points: Sequence[Point], work: Sweeping) -> Sweep:
    """Measure the spec's own values and all points; the best is then measured on the items that were kept apart.

    The first measure decides: the loss on texts or, without texts, the loss of the right answers. SpecError if the
    spec's own values cannot be measured.
    """
    entry = work.recall({}, work.own)
    if entry.failure:
        raise SpecError.of(f"the spec's own values cannot be measured: {entry.failure}", "start from a spec that runs")
    base = entry.samples
    deciding = next(iter(base))
    first = _make_trial({}, work.own, entry)
    found = [work.try_point(point) for point in points]
    trials = tuple(_compare(trial, samples, base, deciding) for trial, samples in found)
    best = _find_best(trials, deciding)
    result = Sweep(name, tuple(axes), deciding, first, trials, len(base[deciding].sums), _count_kept(work.parts), best)
    others = [samples for trial, samples in found if samples and trial.plan != first.plan]
    luck = judge_luck(*_line_up(others, base, deciding)) if others and len(base[deciding].sums) >= FEWEST else None
    return replace(_judge(result, work), chance=luck, cached=work.cached)


def _count_kept(parts: Parts) -> int:
    return len(parts.final.passages) + len(parts.final.questions)


def _compare(trial: Trial, samples: Samples, base: Samples, deciding: Measure) -> Trial:
    return replace(trial, difference=estimate_difference(samples[deciding], base[deciding])) if samples else trial


def _find_best(trials: Sequence[Trial], deciding: Measure) -> int | None:
    """The index of the lowest loss; of equal ones the first."""
    known = [(trial.figures[deciding], at) for at, trial in enumerate(trials) if trial.figures]
    return min(known)[1] if known else None


def _line_up(found: Sequence[Samples], base: Samples, deciding: Measure) -> tuple[np.ndarray, np.ndarray]:
    """The differences of sums to the spec's own values [items, trials], and the weights [items]."""
    sums = np.array([samples[deciding].sums for samples in found]).T
    return sums - np.array(base[deciding].sums)[:, None], np.array(base[deciding].weights)


def _judge(result: Sweep, work: Sweeping) -> Sweep:
    """The sweep with the difference of its best point to the spec's own values on the items that were kept apart."""
    if not result.kept or result.winner is None or result.winner.plan == result.own.plan:
        return result
    try:
        base = work.measure(work.own, work.parts.final)
        candidate = work.open_point(result.winner.point)
        candidate.share_tokenizer(work.own)
        found = work.measure(candidate, work.parts.final)
        candidate.release()
    except StackerError as error:
        return replace(result, problem=_say(error))
    return replace(result, final=estimate_difference(found[result.measure], base[result.measure]))
