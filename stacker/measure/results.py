"""Defines what measuring returns: figures of models and their differences. Imports neither torch nor transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Better(StrEnum):
    """Which values of a measure are good ones."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: `title` names it, `unit` is that of its values, and `items` what intervals are taken over.

    `paired` is False for measures that compare a model with the first one by themselves, such as KL divergence.
    """

    name: str
    title: str
    unit: str
    items: str
    better: Better
    paired: bool = True


PERPLEXITY = Measure("perplexity", "perplexity", "", "passages", Better.LOWER)
LOSS = Measure("loss", "loss", "nats a token", "passages", Better.LOWER)
BITS = Measure("bits_per_byte", "bits a byte", "bits", "passages", Better.LOWER)
KL = Measure("kl_divergence", "KL divergence", "nats a token", "passages", Better.LOWER, paired=False)
TOP1 = Measure("top1_agreement", "same top token", "share", "passages", Better.HIGHER, paired=False)
ACCURACY = Measure("accuracy", "right answers", "share", "questions", Better.HIGHER)
SURPRISE = Measure("answer_loss", "loss of the answer", "nats", "questions", Better.LOWER)
REPETITION = Measure("repetition", "repeated 4-grams", "share", "texts", Better.LOWER)
OBEDIENCE = Measure("instructions", "instructions followed", "share", "instructions", Better.HIGHER)


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of a measure item by item, each the sum over what the item consists of, such as its tokens.

    The value of the measure is the sum of `sums` divided by the sum of `weights`.
    """

    sums: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean over everything that the items consist of."""
        return math.fsum(self.sums) / math.fsum(self.weights)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval `low` to `high`, both None if there are too few items for one.

    `needed` is how many items it would take until intervals exclude 0 in four of five cases, if the mean is the truth;
    None if the mean is 0 or has no interval.
    """

    value: float
    items: int
    low: float | None = None
    high: float | None = None
    needed: int | None = None

    @property
    def excludes_zero(self) -> bool | None:
        """Whether 0 is outside the interval; None without one."""
        return None if self.low is None or self.high is None else not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Figure:
    """The value of a measure for one model, and its difference to the first model's; `subject` is what was asked about.

    For the first model, and where values cannot be compared, `difference` is None. For a measure that compares by
    itself, `difference` is the value with its interval.
    """

    measure: Measure
    subject: str
    value: float
    difference: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """The figures of one model, named as on the command line; `plan` is the id of its plan, `layers` its depth."""

    name: str
    plan: str
    layers: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The columns of several models, the first of which the others are compared with.

    `settings` says how was measured, `notes` what could not be, and `cached` how many results were known before.
    """

    columns: tuple[Column, ...]
    settings: Mapping[str, str | int | float]
    notes: tuple[str, ...] = ()
    cached: int = 0


@dataclass(frozen=True, slots=True)
class TokenChange:
    """A scored token with its losses in two models, in nats; `passage` is its number, `text` the characters it adds."""

    passage: int
    text: str
    first: float
    second: float

    @property
    def change(self) -> float:
        """The loss in the second model minus that in the first."""
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class BehaviourDifference:
    """Where two models differ on texts: every token in order, passage by passage; `sources` names the passages.

    `loss` is the paired difference of the mean losses.
    """

    first: str
    second: str
    sources: tuple[str, ...]
    tokens: tuple[TokenChange, ...]
    loss: Estimate
