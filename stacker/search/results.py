"""Defines what a search tries and returns, as frozen values. Imports neither numpy nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stacker.measure.results import Estimate

Point = Any
"""A place in a space, as JSON: a mapping from names to values, or the runs of an arrangement."""
Values = tuple[float, ...]
"""A value for each objective; lower is better for all."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is made small: `name` as on the command line, `title` and `unit` for people."""

    name: str
    title: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point to try; `how` says how it was made, `parents` are the numbers of the trials that it was made from."""

    point: Point
    how: str
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found about a point.

    `values` is None if it could not be measured, and `problem` says why. `error` is the standard error of the first
    value over passages. `first` and `half` are that value on the first few passages and on half of them, from which a
    race decides whether more are read; None if it did not come so far. `plan` is the id of the stack's plan.
    """

    values: Values | None
    error: float | None = None
    first: float | None = None
    passages: int = 0
    layers: int = 0
    plan: str = ""
    problem: str = ""
    half: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A point that was tried, with number `number` from 0; all trials of a generation are measured on equal terms.

    `seconds` is the time since the trial before it, and has no part in comparisons of trials.
    """

    number: int
    phase: str
    generation: int
    proposal: Proposal
    measured: Measured
    seconds: float = field(default=0.0, compare=False)

    @property
    def values(self) -> Values | None:
        """The values of the objectives; None if the point could not be measured."""
        return self.measured.values

    @property
    def point(self) -> Point:
        """The point that was tried."""
        return self.proposal.point


@dataclass(frozen=True, slots=True)
class Finalist:
    """A point that a strategy returns: the mean of its distribution, or an entry of its archive."""

    phase: str
    how: str
    point: Point


@dataclass(frozen=True, slots=True)
class Losses:
    """The mean loss of each passage of a part of the texts, in nats a token, text by text.

    `part` is `choice` or `final`, `name` says whose losses they are.
    """

    part: str
    name: str
    plan: str
    texts: tuple[str, ...]
    losses: tuple[tuple[float, ...], ...]

    @property
    def value(self) -> float:
        """The mean of the texts' losses, the logarithm of the geometric mean of their perplexities."""
        return sum(sum(each) / len(each) for each in self.losses) / len(self.losses)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The winner against another stack on the final part: its loss minus the other's, with a paired interval.

    `value` is the other stack's loss, and `texts` has the differences text by text.
    """

    name: str
    value: float
    difference: Estimate
    texts: tuple[tuple[str, Estimate], ...]

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no difference` if the interval contains 0 or there is none."""
        if not self.difference.excludes_zero:
            return "no difference"
        return "better" if self.difference.value < 0 else "worse"


@dataclass(frozen=True, slots=True)
class Luck:
    """What chance alone would show on the search part.

    If none of `count` candidates differed from the start, the best of them would seem to be `usual` of its standard
    errors better in half of all searches, and more than `rare` in one of twenty. `best` is what the candidate with the
    clearest gain reached.
    """

    count: int
    usual: float
    rare: float
    best: float


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a search: the winner, chosen on the choice part, and what the final part says about it.

    `how` says how the winner was made, and `perplexities` are its perplexities by text. `tried` and `failed` count
    trials; `seconds` is the time of all of them.
    """

    how: str
    plan: str
    value: float
    perplexities: tuple[tuple[str, float], ...]
    comparisons: tuple[Comparison, ...]
    luck: Luck | None
    tried: int
    failed: int
    seconds: float
    passages: int
