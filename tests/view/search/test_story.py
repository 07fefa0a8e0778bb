"""Pictures of searches: the terminal, SVG and the page say what the values say, and nothing from outside acts."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree.ElementTree import fromstring

import pytest
from rich.console import Console

from stacker.measure.results import Estimate
from stacker.search.results import Comparison, Losses, Luck, Measured, Proposal, Report, Trial
from stacker.view.search.page import story_json, story_page
from stacker.view.search.search_svg import story_svg
from stacker.view.search.terminal import draw_story, progress_text
from stacker.view.search.words import SearchStory, join_words, list_summary, point_text

ORDER = [["a", 0, 3], ["b", 1, 2, {"hop": 0.9}], ["a", 3, 6]]


def trial(number: int, value: float | None, *more: float) -> Trial:
    measured = Measured(
        None if value is None else (value, *more),
        0.01,
        plan=f"plan {number}",
        problem="" if value is not None else "does not fit",
    )
    return Trial(number, "evolution", 0, Proposal(ORDER, f"step {number}"), measured, 30.0)


def compare(name: str, value: float, low: float, high: float) -> Comparison:
    difference = Estimate(value, 40, low, high)
    return Comparison(name, 2.0, difference, (("code", difference),))


REPORT = Report(
    "the mean of CMA-ES", "plan 2", 2.0, (("code", 7.4),),
    (compare("linear 0.5", -0.02, -0.03, -0.01), compare("ram", 0.001, -0.01, 0.012),
     compare("slerp 0.5", 0.05, 0.04, 0.06)),
    Luck(3, 0.9, 2.1, 5.2), 4, 1, 120.0, 40,
)  # fmt: skip
TRIALS = (trial(0, 0.0), trial(1, None), trial(2, -0.3), trial(3, 9.0))
STORY = SearchStory(
    "mix", ("loss",), TRIALS, (TRIALS[0], TRIALS[2]), (Losses("choice", "start", "p", ("code",), ((2.0,),)),), REPORT
)


def drawn(story: SearchStory, width: int = 100) -> str:
    console = Console(width=width, record=True, file=None, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(draw_story(story, width))
    return captured.get()


def test_the_terminal_says_everything() -> None:
    """Counts, curve, best candidates, lineage, finalists, comparison and luck are shown."""
    text = drawn(STORY)
    for words in (
        "mix: 4 candidates in 2.0 min, 1 could not be measured", "-0.3000", "━", "step 2", "a[0:3] b[1:2 hop 0.9]",
        "How the winner came about", "7.389", "better than linear 0.5", "not shown to differ from ram",
        "worse than slerp 0.5", "3 candidates were measured",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    """No line is wider than the terminal."""
    assert max(map(len, drawn(STORY, width).splitlines())) <= width


def test_a_search_without_results_can_be_shown() -> None:
    """Nothing measured, and no report, are shown as such."""
    text = drawn(SearchStory("mix", ("loss",), (trial(0, None),), (), (), None))
    assert "nothing was measured yet" in text
    assert story_svg(SearchStory("mix", ("loss",), (), (), (), None))
    assert "has not ended" in story_page(SearchStory("mix", ("loss",), (), (), (), None))


def test_verdicts_are_said_in_full() -> None:
    """The summary names what the winner is better than, does not differ from, and is worse than."""
    assert [*list_summary(REPORT)] == [
        "The winner is better than linear 0.5.",
        "The winner is not shown to differ from ram.",
        "The winner is worse than slerp 0.5.",
    ]
    only = replace(REPORT, comparisons=REPORT.comparisons[1:])
    assert [*list_summary(only)][-1] == "No improvement was found."


def test_the_drawing_has_a_dot_for_each_measured_trial() -> None:
    """The SVG has a dot with its figures for every trial that was measured, and a strip for each ancestor."""
    root = fromstring(story_svg(STORY))
    names = [each.tag.rpartition("}")[2] for each in root.iter()]
    dots = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(dots) == 3
    heights = [float(dot.get("cy", "")) for dot in dots]
    assert heights[1] > heights[0] == heights[2], "the lowest value is at the bottom, one far above at the top"
    assert len({dot.get("cx") for dot in dots}) == 3
    assert names.count("rect") == 2 * 7
    assert "path" in names


def test_two_objectives_have_a_second_plot() -> None:
    """A search for a front draws both objectives; those on the front have a ring."""
    trials = (trial(0, 0.0, 30.0), trial(1, -0.1, 40.0), trial(2, 0.2, 50.0))
    root = fromstring(story_svg(SearchStory("mix", ("loss", "size"), trials, (), (), None, (0, 1))))
    rings = [each for each in root.iter() if each.get("class") == "front"]
    assert len(rings) == 2


def test_names_from_outside_are_text() -> None:
    """Names with markup are escaped on the page and in the drawing."""
    evil = replace(STORY, name="<script>alert(1)</script>@@best@@")
    assert "<script>alert" not in story_page(evil)
    assert fromstring(story_svg(evil)) is not None


def test_json_has_the_verdicts() -> None:
    """The JSON can be written, and has trials, lineage and the verdict of each comparison."""
    found = json.loads(json.dumps(story_json(STORY)))
    assert [each["verdict"] for each in found["report"]["comparisons"]] == ["better", "no difference", "worse"]
    assert found["lineage"] == [0, 2]
    assert len(found["trials"]) == 4


def test_progress_is_one_line() -> None:
    """The newest trial with its value or its problem, and the best so far."""
    assert progress_text(TRIALS[:3]) == "3 evolution.0 step 2: -0.3000, best -0.3000"
    assert "failed: does not fit" in progress_text(TRIALS[:2])


def test_points_and_lists_in_words() -> None:
    """Assignments and orders are said in one line, lists with `and`."""
    assert point_text({"t": 0.123456, "op": "slerp", "cut": 12}) == "t=0.1235 op=slerp cut=12"
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"
