"""An evaluation is shown with the verdict that its intervals allow, in colours that say better or worse."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stacker.measure.results import (
    ACCURACY,
    BITS,
    LOSS,
    OBEDIENCE,
    Column,
    Estimate,
    Evaluation,
    Figure,
    Measure,
)
from stacker.view.scores.score_tables import choose_colour, draw_evaluation, evaluation_json, shorten_name


def evaluation_of(measure: Measure, *differences: Estimate | None) -> Evaluation:
    columns = [Column("donor", "id0", 6, (Figure(measure, "texts", 1.0),))]
    columns += [
        Column(f"stack{number}", f"id{number}", 8, (Figure(measure, "texts", 0.5, difference),))
        for number, difference in enumerate(differences, 1)
    ]
    return Evaluation(tuple(columns), {"dtype": "float32"})


def text_of(evaluation: Evaluation, width: int = 90) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw_evaluation(evaluation, width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        pytest.param(Estimate(0.2, 9, 0.1, 0.3, 6), "loss worse than donor; the interval excludes 0", id="worse"),
        pytest.param(Estimate(-0.2, 9, -0.3, -0.1, 6), "loss better than donor; the interval excludes 0", id="better"),
        pytest.param(
            Estimate(0.1, 9, -0.1, 0.3, 1234),
            "loss not known to differ from donor, the interval includes 0; about 1,234 passages would tell",
            id="unsure",
        ),
        pytest.param(Estimate(0.0, 9, 0.0, 0.0), "loss exactly as donor", id="equal"),
        pytest.param(Estimate(0.2, 5), "loss: 5 passages are too few for an interval", id="few"),
    ],
)
def test_verdicts(difference: Estimate, said: str) -> None:
    """The sentence below the table says what is known, and what it would take to know more."""
    assert f"stack1: {said}" in " ".join(text_of(evaluation_of(LOSS, difference), 200).split())


@pytest.mark.parametrize(
    ("measure", "value", "colour"),
    [(LOSS, 0.2, "red"), (LOSS, -0.2, "green"), (ACCURACY, 0.2, "green"), (OBEDIENCE, -0.2, "red")],
)
def test_colours(measure: Measure, value: float, colour: str) -> None:
    """Green is better, red is worse, whether the measure should be low or high; yellow is neither for sure."""
    low, high = sorted((value * 0.5, value * 1.5))
    assert choose_colour(Estimate(value, 9, low, high), measure) == colour
    assert choose_colour(Estimate(value, 9, -1.0, 1.0), measure) == "yellow"
    assert choose_colour(Estimate(value, 3), measure) == "yellow"


def test_the_plot_shows_where_zero_is() -> None:
    """Each model has a row; an interval on one side of 0 leaves the line at 0 free."""
    lines = text_of(evaluation_of(LOSS, Estimate(0.2, 9, 0.1, 0.3), Estimate(-0.2, 9, -0.3, 0.1))).splitlines()
    rows = {name: next(line for line in lines if line.startswith(name) and "│" in line) for name in ("donor", "stack1")}
    assert rows["donor"].index("│") == rows["stack1"].index("│") < rows["stack1"].index("├")
    (row,) = (line for line in lines if line.startswith("stack2") and "●" in line)
    assert row.index("├") < row.index("●") < rows["donor"].index("│") < row.index("┤")


def test_names_are_markup_free_and_short() -> None:
    """A long name keeps its beginning and its end."""
    assert shorten_name("./a/very/long/folder/name-of-a-stack.yml") == "./a/very/…-stack.yml"
    assert len(shorten_name("x" * 90)) == 20


def test_json_has_everything() -> None:
    """Columns, figures and differences are there, with what the interval was taken over."""
    found = evaluation_json(evaluation_of(BITS, Estimate(0.2, 9, 0.1, 0.3, 7)))
    (figure,) = found["columns"][1]["figures"]
    assert figure["difference"] == {
        "value": 0.2, "low": 0.1, "high": 0.3, "excludes_zero": True, "passages": 9, "passages_needed": 7,
    }  # fmt: skip
    assert found["columns"][1]["plan"] == "id1"
