"""Measures the points of a sweep on the same texts and questions, and judges the best on items that were kept apart.

How a point becomes a stack is not known here: `open_point` makes a Candidate of it, or raises a StackerError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np

from stacker.errors import SpecError, StackerError
from stacker.live.live_stack import LiveStack, Settings
from stacker.measure.candidates import Candidate, Reference
from stacker.measure.comparison.evaluation import Examination, WatchFor, ignore_activity, read_texts
from stacker.measure.intervals import FEWEST, estimate_difference, make_sample
from stacker.measure.mapping.chance import judge_luck
from stacker.measure.questions.answering import hash_readings, judge_choices, read_choices, score_choices
from stacker.measure.results import ACCURACY, LOSS, SURPRISE, Measure
from stacker.measure.score_cache import CollectedScores, Entries
from stacker.measure.text_scores import hash_windows, score_alone
from stacker.measure.workers.candidates import Opened, Sketch, draw_sketch, is_known, measure_ahead
from stacker.measure.workers.workers import HERE, Workers
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
    """One sweep at work; `own` is the spec with its own values, whose windows of the texts all points read.

    What `workers` can measure is measured there.
    """

    open_point: OpenPoint
    own: Candidate
    parts: Parts
    watch_for: WatchFor
    log: SweepLog = field(default_factory=SweepLog)
    workers: Workers = HERE
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

    def ahead(self, opened: Iterable[Opened], examination: Examination) -> Iterator[Opened]:
        """Yield the candidates, each once workers have measured what is not known about it."""
        kept = examination is not self.parts.choice

        def choose(candidate: Candidate) -> tuple[Sketch, bool] | None:
            return None if self._knows(candidate, examination) else (draw_sketch(candidate), kept)

        parts = Parts(self.parts.choice.bare(), self.parts.final.bare())
        study = SweepStudy(draw_sketch(self.own), parts)
        return measure_ahead(opened, self.workers, study, examination.cache, choose)

    def _knows(self, candidate: Candidate, examination: Examination) -> bool:
        """Whether a stack need not be loaded: its measures are in the log or the cache, or it has none."""
        trial = replace(self, watch_for=ignore_activity)  # counts by itself what it finds in the cache
        try:
            if examination is self.parts.choice and self._identify(candidate) in self.log.entries:
                return True
            return is_known(candidate, lambda: trial.measure(candidate, examination))
        except StackerError:
            return True

    def try_points(self, points: Sequence[Point]) -> Iterator[tuple[Trial, Samples]]:
        """Measure points one after the other; if that fails, the trial says why."""
        opened = self.ahead(map(self.open, points), self.parts.choice)
        for point, candidate in zip(points, opened, strict=True):
            yield self._try_point(point, candidate)

    def open(self, point: Point) -> Candidate | StackerError:
        """The candidate of a point, or the reason why there is none."""
        try:
            candidate = self.open_point(point)
            candidate.share_tokenizer(self.own)
        except StackerError as error:
            return error
        return candidate

    def _try_point(self, point: Point, candidate: Candidate | StackerError) -> tuple[Trial, Samples]:
        if isinstance(candidate, StackerError):
            return Trial(point, failure=_say(candidate)), {}
        try:
            entry = self.recall(point, candidate)
        except StackerError as error:
            return Trial(point, failure=_say(error)), {}
        candidate.release()
        return _make_trial(point, candidate, entry), entry.samples


@dataclass(frozen=True, slots=True)
class SweepStudy:
    """What workers need to measure points: the spec with its own values, and the parts of what is asked.

    An item is what a candidate is made from, and whether it is measured on what was kept apart.
    """

    own: Sketch
    parts: Parts

    @property
    def settings(self) -> Settings:
        """How live stacks are made."""
        return self.own.settings

    def open(self) -> Callable[[tuple[Sketch, bool]], Entries]:
        """Load the spec's own stack; returns the function that measures a candidate."""
        collected, loaded = CollectedScores(), list[LiveStack]()
        own = self.own.open(loaded)
        loaded[:] = [own.live]
        parts = Parts(*(replace(each, cache=collected) for each in (self.parts.choice, self.parts.final)))
        work = Sweeping(_refuse, own, parts, ignore_activity)

        def measure(item: tuple[Sketch, bool]) -> Entries:
            sketch, kept = item
            candidate = sketch.open(loaded)
            candidate.share_tokenizer(own)
            work.measure(candidate, parts.final if kept else parts.choice)
            candidate.release()
            return collected.take()

        return measure


def _refuse(point: Point) -> NoReturn:
    raise SpecError.of(f"a worker opens no point: {point}")


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
    entry = next(work.recall({}, own) for own in work.ahead([work.own], work.parts.choice))
    if entry.failure:
        raise SpecError.of(f"the spec's own values cannot be measured: {entry.failure}", "start from a spec that runs")
    base = entry.samples
    deciding = next(iter(base))
    first = _make_trial({}, work.own, entry)
    found = [*work.try_points(points)]
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
        opened = work.open_point(result.winner.point)
        opened.share_tokenizer(work.own)
        base, found = (
            work.measure(each, work.parts.final) for each in work.ahead([work.own, opened], work.parts.final)
        )
        opened.release()
    except StackerError as error:
        return replace(result, problem=_say(error))
    return replace(result, final=estimate_difference(found[result.measure], base[result.measure]))
