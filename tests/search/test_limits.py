"""When a search ends."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.search.limits import Limit, parse_time
from stacker.search.results import Measured, Proposal, Trial


def trials(count: int, seconds: float = 1.0) -> list[Trial]:
    return [Trial(at, "x", 0, Proposal(at, ""), Measured((0.0,)), seconds) for at in range(count)]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("20", 20)])
def test_times_are_read(text: str, seconds: float) -> None:
    """A time is a number with s, m or h."""
    assert parse_time(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "m", "-3m", "0s", "3 days", "nan"])
def test_other_times_are_refused(text: str) -> None:
    """Anything else is an error that names the option."""
    with pytest.raises(SpecError, match="--budget"):
        parse_time(text, "--budget")


def test_candidates_are_counted_with_the_next_generation() -> None:
    """The limit is reached if the next generation would exceed it."""
    limit = Limit(candidates=10)
    assert not limit.is_reached(trials(6), 4)
    assert limit.is_reached(trials(7), 4)


def test_time_is_that_of_the_trials() -> None:
    """Time is reached when the logged seconds are spent, and a share of a limit is reached earlier."""
    limit = Limit(seconds=10.0)
    assert not limit.is_reached(trials(9), 100)
    assert limit.is_reached(trials(10), 1)
    assert limit.share(0.5).is_reached(trials(5), 1)
    assert Limit().or_candidates(7) == Limit(candidates=7)
