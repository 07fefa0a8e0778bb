"""Measures the points of a sweep on the same texts and questions, and judges the best on items that were kept apart.

How a point becomes a stack is not known here: `open_point` makes a Candidate of it, or raises a StackerError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stacker.errors import SpecError, StackerError
from stacker.measure.candidates import Candidate, Reference
from stacker.measure.comparison.evaluation import Examination, WatchFor, read_texts
from stacker.measure.intervals import FEWEST, estimate_difference, make_sample
from stacker.measure.mapping.chance import judge_luck
from stacker.measure.questions.answering import judge_choices, score_choices
from stacker.measure.results import ACCURACY, LOSS, SURPRISE, Estimate, Measure, Sample
from stacker.measure.text_scores import score_alone
from stacker.search.sweep_grid import Axis, Point
from stacker.search.sweep_results import Sweep, Trial

OpenPoint = Callable[[Point], Candidate]
Samples = Mapping[Measure, Sample]
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
    """One sweep at work; `texts` are the windows of the spec's own values, which all points read."""

    open_point: OpenPoint
    parts: Parts
    watch_for: WatchFor
    texts: dict[int, Reference] = field(default_factory=dict)
    cached: int = 0

    def measure(self, candidate: Candidate, examination: Examination) -> Samples:
        """The measures of a stack, item by item; what the cache has is not computed."""
        samples: dict[Measure, Sample] = {}
        if examination.passages:
            watch = self.watch_for(f"{candidate.name}: tokens")
            texts = self._read(candidate, examination)
            scores = score_alone(candidate, texts.windows, texts.batches, examination.cache, watch)
            samples[LOSS] = make_sample(scores.losses, scores.passages, len(examination.passages))
            self.cached += scores.cached
        if examination.questions:
            watch = self.watch_for(f"{candidate.name}: choices")
            choices, known = score_choices(
                candidate, examination.questions, examination.batch, examination.cache, watch
            )
            judged = judge_choices(examination.questions, choices)
            samples |= {measure: judged[measure] for measure in (SURPRISE, ACCURACY) if measure in judged}
            self.cached += known
        return samples

    def _read(self, candidate: Candidate, examination: Examination) -> Reference:
        """The windows of the texts; SpecError if a point's tokenizer divides them in another way than the first's."""
        known = self.texts.get(id(examination))
        if known is None:
            self.texts[id(examination)] = known = read_texts(candidate, examination)
            return known
        same = candidate.blueprint.side_files == known.candidate.blueprint.side_files
        if not same and read_texts(candidate, examination).windows != known.windows:
            raise SpecError.of("it reads other tokens than the spec's own values, so losses cannot be compared")
        return known

    def try_point(self, point: Point) -> tuple[Trial, Samples]:
        """Measure one point; if that fails, the trial says why."""
        try:
            candidate = self.open_point(point)
            try:
                samples = self.measure(candidate, self.parts.choice)
            finally:
                candidate.release()
        except StackerError as error:
            return Trial(point, failure="; ".join(problem.message for problem in error.problems)), {}
        figures = {measure: sample.value for measure, sample in samples.items()}
        return Trial(point, candidate.blueprint.plan.id, candidate.layers, figures), samples


def sweep(name: str, axes: Sequence[Axis], points: Sequence[Point], work: Sweeping, own: Candidate) -> Sweep:
    """Measure the spec's own values and all points; the best is then measured on the items that were kept apart.

    The first measure decides: the loss on texts or, without texts, the loss of the right answers.
    """
    choice = work.parts.choice
    base = work.measure(own, choice)
    deciding = next(iter(base))
    figures = {measure: sample.value for measure, sample in base.items()}
    first = Trial({}, own.blueprint.plan.id, own.layers, figures)
    found = [work.try_point(point) for point in points]
    trials = tuple(_compare(trial, samples, base, deciding) for trial, samples in found)
    best = _find_best(trials, deciding)
    result = Sweep(name, tuple(axes), deciding, first, trials, len(base[deciding].sums), _count_kept(work.parts), best)
    others = [samples for trial, samples in found if samples and trial.plan != first.plan]
    luck = judge_luck(*_line_up(others, base, deciding)) if others and len(base[deciding].sums) >= FEWEST else None
    final = _judge(result, work, own) if result.kept else None
    return replace(result, final=final, chance=luck, cached=work.cached)


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


def _judge(result: Sweep, work: Sweeping, own: Candidate) -> Estimate | None:
    """The difference of the best point to the spec's own values on the items that were kept apart."""
    if result.winner is None or result.winner.plan == result.own.plan:
        return None
    base = work.measure(own, work.parts.final)
    found = work.measure(work.open_point(result.winner.point), work.parts.final)
    return estimate_difference(found[result.measure], base[result.measure])
