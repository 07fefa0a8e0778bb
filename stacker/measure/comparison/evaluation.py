"""Measures several stacks on texts and questions, and compares each with the first, item by item."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stacker.core.side_files.kinds import Kind
from stacker.live.live_stack import LiveStack, Settings
from stacker.measure.candidates import Candidate, Reference
from stacker.measure.intervals import estimate_difference, estimate_mean, make_sample
from stacker.measure.losses import make_batches
from stacker.measure.questions.answering import Choices, judge_choices, score_choices
from stacker.measure.questions.generating import judge_answers, write_answers
from stacker.measure.questions.questions import Question
from stacker.measure.results import (
    BITS,
    KL,
    LOSS,
    PERPLEXITY,
    TOP1,
    Column,
    Evaluation,
    Figure,
    Measure,
    Sample,
)
from stacker.measure.score_cache import CollectedScores, Entries, ScoreCache
from stacker.measure.text_scores import TokenScores, score_against, score_alone, score_reference
from stacker.measure.texts import TextPassage, Windowing, check_windowing, cut_windows
from stacker.measure.workers.candidates import Sketch, draw_sketch, is_known, measure_ahead
from stacker.measure.workers.workers import HERE, Workers
from stacker.progress import Watch, ignore_watch

TEXTS, GENERATIONS = "texts", "generations"
Samples = Mapping[tuple[str, Measure], Sample]
"""The values of measures item by item, by what was asked about and the measure."""
WatchFor = Callable[[str], Watch]
"""A function that gives a Watch for an activity; it is called with predictions made and to make."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What stacks are measured on: passages of texts, divided by `windowing`, and questions.

    Batches have at most `batch` tokens. `generations` is how many instructions are answered, and texts continued.
    Results that `cache` has are not computed.
    """

    passages: Sequence[TextPassage] = ()
    questions: Sequence[Question] = ()
    windowing: Windowing = field(default_factory=Windowing)
    batch: int = 2048
    generations: int = 0
    cache: ScoreCache = field(default_factory=lambda: ScoreCache(None))

    def bare(self) -> Examination:
        """What is measured, without the scores of this machine."""
        return replace(self, cache=ScoreCache(None))


@dataclass(frozen=True, slots=True)
class _Result:
    """What was measured of one stack; `texts` is what it read, and `cached` counts results from the cache."""

    samples: Samples
    texts: Reference | None = None
    cached: int = 0


def evaluate(
    candidates: Sequence[Candidate], examination: Examination, watch_for: WatchFor, workers: Workers = HERE
) -> Evaluation:
    """Measure all candidates; the first is what the others are compared with.

    Each candidate but the first is released once it is measured. What `workers` can measure is measured there.
    """
    texts = read_texts(candidates[0], examination) if examination.passages else None

    def choose(candidate: Candidate) -> tuple[Sketch, bool] | None:
        known = is_known(candidate, lambda: _measure(candidate, examination, texts, ignore_activity))
        return None if known else (draw_sketch(candidate), candidate is candidates[0])

    study = ComparisonStudy(draw_sketch(candidates[0]), examination.bare())
    columns: list[Column] = []
    results: list[_Result] = []
    for candidate in measure_ahead(candidates, workers, study, examination.cache, choose):
        results.append(_measure(candidate, examination, texts, watch_for))
        columns.append(_make_column(candidate, results[-1], results[0] if columns else None))
        if candidate is not candidates[0]:
            candidate.release()
    cached = sum(result.cached for result in results)
    notes = tuple(_list_notes(columns, examination))
    return Evaluation(tuple(columns), _list_settings(candidates[0], examination), notes, cached)


def ignore_activity(_activity: str) -> Watch:
    """A watch that shows nothing."""
    return ignore_watch


@dataclass(frozen=True, slots=True)
class ComparisonStudy:
    """What workers need to measure candidates: the first, which others are compared with, and what is asked of them.

    An item is what a candidate is made from, and whether it is the first.
    """

    first: Sketch
    examination: Examination

    @property
    def settings(self) -> Settings:
        """How live stacks are made."""
        return self.first.settings

    def open(self) -> Callable[[tuple[Sketch, bool]], Entries]:
        """Load the first candidate; returns the function that measures one."""
        collected, loaded = CollectedScores(), list[LiveStack]()
        examination = replace(self.examination, cache=collected)
        first = self.first.open(loaded)
        loaded[:] = [first.live]
        texts = read_texts(first, examination) if examination.passages else None

        def measure(item: tuple[Sketch, bool]) -> Entries:
            sketch, is_first = item
            candidate = first if is_first else sketch.open(loaded)
            _measure(candidate, examination, texts, ignore_activity)
            if not is_first:
                candidate.release()
            return collected.take()

        return measure


def _make_column(candidate: Candidate, result: _Result, first: _Result | None) -> Column:
    figures = tuple(_make_figures(result, first))
    return Column(candidate.name, candidate.blueprint.plan.id, candidate.layers, figures)


def _measure(
    candidate: Candidate, examination: Examination, reference: Reference | None, watch_for: WatchFor
) -> _Result:
    """Measure a candidate; `reference` is what the first one reads, None if there are no texts."""
    samples: dict[tuple[str, Measure], Sample] = {}
    texts = None
    cached = 0
    if reference is not None:
        texts = read_texts(candidate, examination, reference)
        scores = _score_texts(texts, examination, reference, watch_for(f"{candidate.name}: tokens"))
        samples |= {(TEXTS, measure): each for measure, each in sample_tokens(scores, examination.passages).items()}
        cached += scores.cached
    if examination.questions:
        watch = watch_for(f"{candidate.name}: choices")
        choices, known = score_choices(candidate, examination.questions, examination.batch, examination.cache, watch)
        samples |= _judge_subjects(examination.questions, choices)
        cached += known
    if examination.generations:
        watch = watch_for(f"{candidate.name}: generations")
        answers, known = write_answers(candidate, examination.generations, examination.cache, watch)
        samples |= {(GENERATIONS, measure): each for measure, each in judge_answers(answers).items()}
        cached += known
    return _Result(samples, texts, cached)


def read_texts(candidate: Candidate, examination: Examination, reference: Reference | None = None) -> Reference:
    """The windows and batches of the texts, as a candidate's tokenizer divides them; SpecError if they do not fit.

    If the candidate has the tokenizer of the reference, it reads what the reference reads.
    """
    check_windowing(examination.windowing, candidate.blueprint.plan.config)
    if reference and _identify_tokenizer(candidate) == _identify_tokenizer(reference.candidate):
        return Reference(candidate, reference.windows, reference.batches)
    windows = cut_windows(examination.passages, candidate.tokenizer, examination.windowing)
    return Reference(candidate, windows, [*make_batches(windows, examination.batch)])


def _identify_tokenizer(candidate: Candidate) -> object:
    """The files that a candidate's tokenizer is loaded from, and the entry of its config that chooses the class."""
    carried = candidate.blueprint.side_files.carried
    files = {each.file for each in carried if each.rule.kind is Kind.TOKENIZER}
    return files, candidate.blueprint.plan.config.get("model_type")


def _score_texts(texts: Reference, examination: Examination, reference: Reference, watch: Watch) -> TokenScores:
    """Score what a candidate read, against the reference if both read the same tokens of one vocabulary."""
    cache, candidate = examination.cache, texts.candidate
    if candidate is reference.candidate:
        return score_reference(reference, cache, watch)
    if texts.windows == reference.windows and _same_vocabulary(candidate, reference.candidate):
        return score_against(candidate, reference, cache, watch)
    return score_alone(candidate, texts.windows, texts.batches, cache, watch)


def _judge_subjects(questions: Sequence[Question], choices: Choices) -> dict[tuple[str, Measure], Sample]:
    samples: dict[tuple[str, Measure], Sample] = {}
    for subject in dict.fromkeys(question.subject for question in questions):
        numbers = [at for at, question in enumerate(questions) if question.subject == subject]
        judged = judge_choices([questions[at] for at in numbers], tuple(choices[at] for at in numbers))
        samples |= {(subject, measure): sample for measure, sample in judged.items()}
    return samples


def _same_vocabulary(one: Candidate, other: Candidate) -> bool:
    sizes = {_find_vocabulary(each) for each in (one, other)}
    return len(sizes) == 1


def _find_vocabulary(candidate: Candidate) -> object:
    config = candidate.blueprint.plan.config
    nested = config.get("text_config")
    return (nested if isinstance(nested, dict) else config).get("vocab_size", config.get("vocab_size"))


def sample_tokens(scores: TokenScores, passages: Sequence[TextPassage]) -> dict[Measure, Sample]:
    """The measures of scored tokens, passage by passage.

    Bits a byte divide by the bytes of whole passages, so they can be compared between tokenizers.
    """
    values = {LOSS: scores.losses, KL: scores.divergence, TOP1: scores.agreement}
    count, owners = len(passages), scores.passages
    found = {measure: make_sample(each, owners, count) for measure, each in values.items() if each is not None}
    nats = np.bincount(owners, weights=scores.losses.astype(np.float64), minlength=count)
    sizes = tuple(float(passage.nbytes) for passage in passages)
    return {**found, BITS: Sample(tuple((nats / math.log(2)).tolist()), sizes)}


def _make_figures(result: _Result, reference: _Result | None) -> Iterator[Figure]:
    for (subject, measure), sample in result.samples.items():
        first = reference.samples.get((subject, measure)) if reference else None
        difference = None
        if not measure.paired:
            difference = estimate_mean(sample)
        elif first and sample.weights == first.weights and _comparable(measure, result, reference):
            difference = estimate_difference(sample, first)
        yield Figure(measure, subject, sample.value, difference)
        if measure is LOSS:
            yield Figure(PERPLEXITY, subject, math.exp(min(sample.value, 700.0)))


def _comparable(measure: Measure, result: _Result, reference: _Result | None) -> bool:
    """Whether a measure means the same for both: losses a token do for equal tokens only."""
    return measure is not LOSS or _read_same(result.texts, reference.texts if reference else None)


def _read_same(texts: Reference | None, others: Reference | None) -> bool:
    return texts is not None and others is not None and texts.windows == others.windows


def _list_notes(columns: Sequence[Column], examination: Examination) -> Iterator[str]:
    for column in columns[1:]:
        found = {figure.measure: figure.difference for figure in column.figures}
        if LOSS in found and found[LOSS] is None:
            yield f"{column.name} reads other tokens than {columns[0].name}: compare bits a byte, not loss a token"
        elif LOSS in found and KL not in found:
            yield f"{column.name} has another vocabulary than {columns[0].name}: no KL divergence"
    if examination.passages and len(examination.passages) == 1:
        yield "one passage has no interval: name more texts, or make --passage smaller"


def _list_settings(candidate: Candidate, examination: Examination) -> dict[str, str | int | float]:
    identity = candidate.identity
    found: dict[str, str | int | float] = {"dtype": identity["dtype"], "device": identity["device"]}
    if examination.passages:
        windowing = examination.windowing
        found |= {"passages": len(examination.passages), "window": windowing.window, "stride": windowing.stride}
    counts = {"questions": len(examination.questions), "generations": examination.generations}
    return found | {name: count for name, count in counts.items() if count}
