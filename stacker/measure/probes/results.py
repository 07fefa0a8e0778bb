"""Defines the values that probes return. Imports no torch, so that everything can show them."""

from __future__ import annotations

from dataclasses import dataclass, field

from stacker.measure.probes.edits import Edit

Matrix = tuple[tuple[float, ...], ...]
"""Rows of numbers."""


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """What one layer does to the residual stream on a text.

    `influence` is its block influence (ShortGPT): 1 − the mean cosine of the states before and behind it. `norm` is the
    length of the state behind it, of the median token. `attention` and `mlp` are the lengths of what its two sublayers
    add, in parts of the length of the state that enters, of the median token; None if they could not be told apart.
    `lens_loss` is the loss in nats if the head reads the state behind this layer (logit lens), and `lens_agreement` the
    share of tokens whose likeliest next token is then the model's own.
    """

    index: int
    influence: float
    norm: float
    attention: float | None
    mlp: float | None
    lens_loss: float
    lens_agreement: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What the layers of a model do on a text of `tokens` tokens.

    `distances` has the mean angular distance, 0 to 1, between each two states: `depth` + 1 rows and columns.
    """

    name: str
    depth: int
    tokens: int
    layers: tuple[LayerFigures, ...]
    distances: Matrix = field(repr=False)

    def find_nearest(self, length: int) -> tuple[int, float]:
        """The start of the run of `length` layers across which the state turns least, and the angular distance."""
        return min(
            ((start, self.distances[start][start + length]) for start in range(self.depth - length + 1)),
            key=lambda pair: pair[1],
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A change of loss in nats a token, `mean`, and its 95% interval from `low` to `high`."""

    mean: float
    low: float
    high: float

    @property
    def is_gain(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    @property
    def is_harm(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True, slots=True)
class Change:
    """How an edit changes the loss: `alone` is its interval as if it had been the only edit that was tried.

    `among` is its interval as one of all edits that were tried: with 95% probability, the intervals of all of them
    hold at once. A draft comes from the few passages that decide which edits are refined, which is measuring them on
    others; both intervals are then only about drafts or only about refined edits.
    """

    edit: Edit
    alone: Interval
    among: Interval
    is_draft: bool = False


@dataclass(frozen=True, slots=True)
class Chance:
    """What chance alone would give, if no edit changed the loss of the text's source.

    `tries` edits were measured on `passages` passages. The best would then seem to be `usual` standard errors better
    in half of all texts, and more than `rare` standard errors better in one of twenty. `best` is what the edit with the
    clearest gain reached, and `probability` how often chance alone would reach that much. If `drafted` is not 0, the
    tries were chosen from so many edits on other passages.
    """

    tries: int
    passages: int
    usual: float
    rare: float
    best: float
    probability: float
    drafted: int = 0


@dataclass(frozen=True, slots=True)
class DepthMap:
    """How edits change the loss of a model of `depth` layers, which is `loss` nats a token as it is.

    `changes` are in the order of the edits; `total` counts the edits to measure, of which some may be missing, and
    `unrefined` the drafts that are still to be refined.
    """

    name: str
    depth: int
    loss: float
    tokens: int
    changes: tuple[Change, ...] = field(repr=False)
    total: int
    chance: Chance | None
    unrefined: int = 0

    @property
    def refined(self) -> int:
        """How many drafts have been refined; 0 if there are no drafts."""
        drafts = sum(change.is_draft for change in self.changes)
        return len(self.changes) - drafts if drafts else 0

    @property
    def is_complete(self) -> bool:
        """Whether all edits were measured and refined that had to be."""
        return len(self.changes) == self.total and not self.unrefined


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit as the text of a spec; `confirmed` is its change on passages that had no part in choosing it, or None."""

    change: Change
    spec: str = field(repr=False)
    confirmed: Interval | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike the states of two models are on the same tokens; rows are states of `first`, columns of `second`.

    `distances` has the mean angular distances of the states as they are, as a stack joins them; it is None if their
    widths differ. `rotated` has their cosines after the best rotation (orthogonal Procrustes) of their leading
    directions, and `cka` is the linear centred kernel alignment. `chance` is what `rotated` gives if the tokens of one
    model are shuffled.
    """

    first: str
    second: str
    tokens: int
    distances: Matrix | None = field(repr=False)
    rotated: Matrix = field(repr=False)
    cka: Matrix = field(repr=False)
    chance: float
