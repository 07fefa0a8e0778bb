"""Live candidates: values against losses that are computed apart, equal stacks, failures, questions and costs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stacker.compose import Stack
from stacker.errors import SpecError
from stacker.live.live_stack import LiveStack
from stacker.measure.questions.questions import Question
from stacker.measure.texts import TextPassage
from stacker.search.evaluation.comparison import Contender, measure_part
from stacker.search.evaluation.known_states import KnownStates
from stacker.search.evaluation.live_evaluator import Course, LiveEvaluator
from stacker.search.evaluation.objectives import choose_objectives
from stacker.search.evaluation.reading import make_heats, read_windows
from stacker.search.evaluation.readings import Reading
from stacker.search.evaluation.windows import Part, draw_windows, split_texts
from stacker.search.log import Log
from stacker.search.results import Measured, Proposal, Trial
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_text, make_tokenizer, write_worded

TEXTS = {
    name: [TextPassage(name, at, make_text(12, seed + at)) for at in range(32)] for name, seed in (("x", 0), ("y", 99))
}
QUESTIONS = tuple(Question("q", f"w{at} w2", (" w3", " w4"), at % 2) for at in range(12))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_worded(tmp_path_factory.mktemp("donors"), "a", "b")


@pytest.fixture(scope="module")
def start(home: Path) -> LiveStack:
    return stack_of(home, ["a"]).live_stack(dtype="float32")


@pytest.fixture(scope="module")
def part() -> Part:
    return split_texts(TEXTS, make_tokenizer(), 12, 16)["search"]


def evaluator(home: Path, start: LiveStack, part: Part, *names: str, known: KnownStates | None = None) -> LiveEvaluator:
    """An evaluator whose points are lists of slices."""

    def decode(point: Any) -> Stack:
        if point == "bad":
            raise SpecError.of("this point has no stack")
        return stack_of(home, list(point))

    objectives = choose_objectives(names or ("loss",), part.texts, questions=True)
    course = Course(part, objectives, 8, 5, QUESTIONS)
    return LiveEvaluator(decode, stack_of(home, ["a"]), start, course, known)


def losses(stack: Stack, part: Part, generation: int) -> np.ndarray[Any, Any]:
    """The losses of the windows of a generation by a stack that shares nothing with others."""
    windows = draw_windows(part, generation, 8, 5)
    return read_windows(stack.live_stack(dtype="float32"), make_heats(windows, 2, 2048))


def test_values_are_differences_to_the_start(home: Path, start: LiveStack, part: Part) -> None:
    """The value of a candidate is the mean over texts of its losses minus the start's, on the generation's windows."""
    points = ["a[0:3]", "b[2:6]"]
    for generation in (0, 3):
        found = evaluator(home, start, part).measure(points, generation, ())
        change = losses(stack_of(home, points), part, generation) - losses(stack_of(home, ["a"]), part, generation)
        assert found.values == pytest.approx([(change[0::2].mean() + change[1::2].mean()) / 2], abs=1e-6)
        assert found.first == pytest.approx(change[:2].mean(), abs=1e-6)
        assert (found.passages, found.layers) == (8, 7)


def test_the_start_changes_nothing(home: Path, start: LiveStack, part: Part) -> None:
    """The start itself has the value 0."""
    assert evaluator(home, start, part).measure(["a"], 0, ()).values == (0.0,)


def test_each_text_can_be_an_objective(home: Path, start: LiveStack, part: Part) -> None:
    """The loss on all texts is the mean of those on each; costs are those of the plan, questions are asked."""
    names = ("loss", "loss:x", "loss:y", "size", "speed", "memory", "questions")
    found = evaluator(home, start, part, *names).measure(["a[0:3]", "b[2:6]"], 0, ()).values
    assert found is not None
    values = dict(zip(names, found, strict=True))
    assert values["loss"] == pytest.approx((values["loss:x"] + values["loss:y"]) / 2)
    plan = stack_of(home, ["a[0:3]", "b[2:6]"]).plan()
    assert values["size"] == plan.total_parameters
    embedding = 24 * 16
    norms = 16 * (2 * 7 + 1)
    assert values["speed"] == plan.total_parameters - embedding - norms
    assert values["memory"] >= 4 * plan.total_parameters
    assert values["questions"] != 0


def test_failures_are_results(home: Path, start: LiveStack, part: Part) -> None:
    """A point without a stack, and a stack with an error, are results with the reason."""
    measure = evaluator(home, start, part).measure
    assert measure("bad", 0, ()).problem == "this point has no stack"
    assert "past" in measure(["a[0:9]"], 0, ()).problem


def test_equal_stacks_are_measured_once(
    home: Path, start: LiveStack, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two points of a generation with one plan are run once; in the next generation, on other windows, again."""
    own, runs = LiveEvaluator._run, list[str]()

    def count(tested: LiveEvaluator, stack: Reading, *rest: Any) -> Measured:
        runs.append(stack.blueprint.plan.id)
        return own(tested, stack, *rest)

    monkeypatch.setattr(LiveEvaluator, "_run", count)
    tested = evaluator(home, start, part)
    first = tested.measure(["a[0:3]", "a[3:6]"], 0, ())
    earlier = (Trial(0, "x", 0, Proposal(None, ""), first),)
    assert tested.measure(["a[0:2]", "a[2:6]"], 0, earlier) == first
    assert len(runs) == 1
    tested.measure(["a[0:3]", "a[3:6]"], 1, ())
    assert len(runs) == 2


def test_parts_are_measured_once_and_failures_left_out(home: Path, start: LiveStack) -> None:
    """Losses on a part are those of each passage, text by text; what the log has is not measured again."""
    final = split_texts(TEXTS, make_tokenizer(), 12, 16)["final"]
    log, opened = Log(None), list[str]()

    def open_stack(name: str) -> LiveStack:
        opened.append(name)
        return start.rearranged(stack_of(home, [name]))

    contenders = [
        Contender(name, name, partial(open_stack, name), lambda: start.blueprint) for name in ("a", "b", "a[0:99]")
    ]
    found = [*measure_part(contenders, "final", final, log, start)]
    assert [each.name for each in found] == ["a", "b"]
    assert [len(each) for each in found[0].losses] == [len(each) for each in final.windows.values()]
    again = [*measure_part(contenders[:2], "final", final, log, start)]
    assert again == found
    assert opened == ["a", "b", "a[0:99]"]
