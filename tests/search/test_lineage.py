"""The lineage of a winner, and what improved."""

from __future__ import annotations

from stacker.search.lineage import find_lineage, list_improvements, list_measured, mean_value, split_losses
from stacker.search.results import Losses, Measured, Proposal, Trial


def trial(number: int, value: float | None, plan: str, *parents: int, passages: int = 4) -> Trial:
    values = None if value is None else (value,)
    return Trial(
        number,
        "evolution",
        0,
        Proposal(number, f"how {number}", parents),
        Measured(values, passages=passages, plan=plan),
    )


TRIALS = (
    trial(0, 0.0, "start"),
    trial(1, None, "broken", 0),
    trial(2, -0.1, "child", 0),
    trial(3, 0.3, "other", 0),
    trial(4, -0.3, "winner", 2, 3),
    trial(5, -0.1, "winner", 4, passages=12),
)


def test_ancestors_are_followed() -> None:
    """The line goes from the first trial with the winner's plan through first parents to the start."""
    assert [each.number for each in find_lineage(TRIALS, "winner")] == [0, 2, 4]
    assert find_lineage(TRIALS, "unknown") == ()


def test_improvements_are_the_records() -> None:
    """Only trials below all before them improve; failures never do."""
    assert [each.number for each in list_improvements(TRIALS)] == [0, 2, 4]


def test_equal_stacks_are_pooled() -> None:
    """Trials of one plan are one entry, whose value is weighted by passages; entries come in order of their values."""
    groups = list_measured(TRIALS)
    assert [[each.number for each in group] for group in groups] == [[4, 5], [2], [0], [3]]
    assert abs(mean_value(groups[0]) - (-0.3 * 4 - 0.1 * 12) / 16) < 1e-12


def test_losses_are_divided_by_part() -> None:
    """The choice and the final part are told apart."""
    one, two = (Losses(part, "a", "p", ("t",), ((1.0,),)) for part in ("final", "choice"))
    assert split_losses([one, two]) == ((two,), (one,))
