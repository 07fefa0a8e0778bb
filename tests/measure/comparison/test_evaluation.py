"""Evaluations compare stacks item by item: against transformers' logits, and exactly 0 where nothing differs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stacker.compose import draw_blueprint
from stacker.errors import SpecError
from stacker.live.live_stack import LiveStack, Settings
from stacker.measure.candidates import Candidate
from stacker.measure.comparison.behaviour import compare_texts
from stacker.measure.comparison.evaluation import TEXTS, Examination, evaluate
from stacker.measure.questions.questions import Question
from stacker.measure.results import ACCURACY, BITS, KL, LOSS, PERPLEXITY, TOP1, Column, Figure, Measure
from stacker.measure.score_cache import ScoreCache
from stacker.measure.texts import TextPassage, Windowing, cut_windows
from stacker.progress import ignore_watch
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_text, make_tokenizer, write_worded

PASSAGES = tuple(TextPassage("text", number, make_text(20 + 3 * number, number)) for number in range(8))
QUESTIONS = tuple(Question("words", make_text(6, number), (" w1", " w2", " w3 w4"), number % 3) for number in range(9))
EXAMINATION = Examination(PASSAGES, QUESTIONS, Windowing(16, 8), 64)
FP32 = Settings(dtype="float32")


class Opener:
    """Loads a stack, and counts how often."""

    def __init__(self, home: Path, items: list[object], name: str) -> None:
        self.stack = stack_of(home, list(items), name)
        self.count = 0

    def load(self) -> LiveStack:
        self.count += 1
        return self.stack.live_stack(dtype="float32")

    def candidate(self) -> Candidate:
        return Candidate(self.stack.spec.name, draw_blueprint(self.stack), FP32, self.load)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two donors with one tokenizer."""
    return write_worded(tmp_path, "a", "b")


def figure_of(column: Column, measure: Measure, subject: str = TEXTS) -> Figure:
    return next(each for each in column.figures if (each.measure, each.subject) == (measure, subject))


def test_figures_are_those_of_transformers_logits(home: Path) -> None:
    """Loss, divergence and agreement equal a naive computation in fp64 from the logits of both models."""
    one, two = Opener(home, ["a"], "one"), Opener(home, ["a[0:3]", "b[3:6]"], "two")
    found = evaluate([one.candidate(), two.candidate()], EXAMINATION, lambda _: ignore_watch)
    losses, divergences, agreements = [], [], []
    for window in cut_windows(PASSAGES, make_tokenizer(), Windowing(16, 8)):
        tokens = torch.tensor([window.tokens])
        with torch.no_grad():
            first, second = (
                each.load().model(tokens).logits[0, window.counted - 1 : -1].double().softmax(-1) for each in (one, two)
            )
        for p, q, target in zip(first, second, window.tokens[window.counted :], strict=True):
            losses.append(-math.log(q[target]))
            divergences.append(sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True)))
            agreements.append(float(p.argmax() == q.argmax()))
    column = found.columns[1]
    mean = sum(losses) / len(losses)
    assert figure_of(column, LOSS).value == pytest.approx(mean, rel=1e-5)
    assert figure_of(column, PERPLEXITY).value == pytest.approx(math.exp(mean), rel=1e-5)
    assert figure_of(column, KL).value == pytest.approx(sum(divergences) / len(losses), rel=1e-4)
    assert figure_of(column, TOP1).value == sum(agreements) / len(losses)
    nbytes = sum(len(passage.text.encode()) for passage in PASSAGES)
    assert figure_of(column, BITS).value == pytest.approx(sum(losses) / math.log(2) / nbytes, rel=1e-5)


def test_equal_stacks_differ_by_exactly_nothing(home: Path) -> None:
    """Two specs of the same layers have differences of 0, and intervals from 0 to 0."""
    candidates = [Opener(home, ["a"], "one").candidate(), Opener(home, ["a[0:2]", "a[2:6]"], "two").candidate()]
    found = evaluate(candidates, EXAMINATION, lambda _: ignore_watch)
    differences = [figure.difference for figure in found.columns[1].figures if figure.measure not in (TOP1, PERPLEXITY)]
    assert {(each.value, each.low, each.high) for each in differences if each} == {(0.0, 0.0, 0.0)}
    assert all(differences)
    assert figure_of(found.columns[1], TOP1).value == 1.0


def test_nothing_is_scored_twice(home: Path, tmp_path: Path) -> None:
    """A second evaluation loads no stack and has the same figures, nor does a comparison of the same stacks."""
    cache = ScoreCache(tmp_path / "cache")
    examination = Examination(PASSAGES, QUESTIONS, Windowing(16, 8), 64, cache=cache)
    one, two, three = (Opener(home, [item, "b[3:6]"], item) for item in ("a[0:3]", "a[0:2]", "a[0:1]"))
    before = evaluate([one.candidate(), two.candidate()], examination, lambda _: ignore_watch)
    assert (one.count, two.count, before.cached) == (1, 1, 0)
    after = evaluate([one.candidate(), two.candidate()], examination, lambda _: ignore_watch)
    assert (one.count, two.count, after.cached) == (1, 1, 4)
    assert after.columns == before.columns
    compare_texts(one.candidate(), two.candidate(), examination, lambda _: ignore_watch)
    assert (one.count, two.count) == (1, 1)
    evaluate([one.candidate(), three.candidate()], examination, lambda _: ignore_watch)
    assert (two.count, three.count) == (1, 1)


def test_other_settings_are_scored_anew(home: Path, tmp_path: Path) -> None:
    """Another stride, another text or another type is not answered from the cache."""
    cache = ScoreCache(tmp_path / "cache")
    one = Opener(home, ["a"], "one")
    for examination in (
        Examination(PASSAGES, (), Windowing(16, 8), 64, cache=cache),
        Examination(PASSAGES, (), Windowing(16, 4), 64, cache=cache),
        Examination(PASSAGES[1:], (), Windowing(16, 8), 64, cache=cache),
    ):
        evaluate([one.candidate()], examination, lambda _: ignore_watch)
    assert one.count == 3
    other = Candidate("one", one.candidate().blueprint, Settings(dtype="bfloat16"), one.load)
    evaluate([other], Examination(PASSAGES, (), Windowing(16, 8), 64, cache=cache), lambda _: ignore_watch)
    assert one.count == 4


def test_other_tokenizers_are_compared_by_bytes(home: Path) -> None:
    """A donor that puts a start token before texts has no difference in loss a token, but one in bits a byte."""
    make_tokenizer(start=True).save_pretrained(home / "b")
    found = evaluate(
        [Opener(home, ["a"], "one").candidate(), Opener(home, ["b"], "two").candidate()],
        EXAMINATION,
        lambda _: ignore_watch,
    )
    assert figure_of(found.columns[1], LOSS).difference is None
    assert figure_of(found.columns[1], BITS).difference is not None
    assert figure_of(found.columns[1], ACCURACY, "words").difference is not None
    assert found.notes == ("two reads other tokens than one: compare bits a byte, not loss a token",)


@pytest.mark.filterwarnings("ignore::stacker.errors.ProblemWarning")
@pytest.mark.parametrize("examination", [Examination(PASSAGES, (), Windowing(16, 8)), Examination((), QUESTIONS)])
def test_a_broken_stack_is_named(home: Path, examination: Examination, tmp_path: Path) -> None:
    """A stack whose states overflow has no loss; it is refused by name, and nothing is kept."""
    items = [{"slice": "a[0:6]", "scale": {"mlp.down": 1e45}}]
    broken = Opener(home, [*items], "broken")
    kept = replace(examination, cache=ScoreCache(tmp_path / "cache"))
    with pytest.raises(SpecError, match="broken predicts no finite probabilities"):
        evaluate([Opener(home, ["a"], "one").candidate(), broken.candidate()], kept, lambda _: ignore_watch)
    assert len([*(tmp_path / "cache").rglob("*.npz")]) == 1
