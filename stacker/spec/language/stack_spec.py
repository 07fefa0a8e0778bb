"""What a spec says, once parsed: frozen values, whichever dialect it was written in.

Nothing here is resolved against donors: a bound that was not written is None, a `use` is still a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stacker.errors import Mark, Problem
from stacker.tensors import Dtype


class Dialect(StrEnum):
    """The language a spec was written in."""

    NATIVE = "native"
    MERGEKIT = "mergekit"


Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Gradient:
    """A number that varies over a slice: knots equally spaced over its layers, linear between them; one is a constant.

    A tensor outside the layers (embedding, final norm, head) is at the first knot: position 0 of 2.
    """

    knots: tuple[float, ...]

    def at(self, position: int, count: int) -> float:
        """The value at layer `position` (from 0) of `count`; a slice of one layer is at the last knot."""
        if len(self.knots) == 1:
            return self.knots[0]
        place = (position / (count - 1) if count > 1 else 1.0) * (len(self.knots) - 1)
        left = min(int(place), len(self.knots) - 2)
        return self.knots[left] + (place - left) * (self.knots[left + 1] - self.knots[left])


@dataclass(frozen=True, slots=True)
class Rule:
    """A value for the tensors that `match` selects.

    `match` is a role or the head of one (`attn`, `attn.q`), a pattern over full tensor names with `*`, or `*` for all.
    """

    match: str
    value: Gradient | Value


@dataclass(frozen=True, slots=True)
class Parameter:
    """Rules in the order they are tried: the first that matches a tensor gives its value."""

    rules: tuple[Rule, ...]

    def over(self, other: Parameter | None) -> Parameter:
        """These rules first, and those of `other` where none of these matches."""
        return self if other is None else Parameter(self.rules + other.rules)


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter by its name, as written at one place of the spec."""

    name: str
    parameter: Parameter
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """Layers [start, stop) of a donor; a bound that was not written is None; both None is the whole donor.

    `scale` multiplies what the slice writes; `settings` are per-source parameters where the slice is part of a blend.
    """

    donor: str
    start: int | None = None
    stop: int | None = None
    scale: Parameter | None = None
    settings: tuple[Setting, ...] = ()
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlendSpec:
    """The same number of layers from each source, one output layer per position; for embed and head, whole donors.

    `base` is the reference of ops that need one; None means the spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CrossfadeSpec:
    """Slices laid end to end so that the last `over` layers of each are blended with the first `over` of the next."""

    sources: tuple[SliceSpec, ...]
    over: int
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RepeatSpec:
    """Items `times` times over; `scale` multiplies what the copies after the first write."""

    items: tuple[Item, ...]
    times: int
    scale: Parameter | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UseSpec:
    """A named run of items from the spec's `stacks`."""

    name: str
    mark: Mark | None = field(default=None, compare=False, repr=False)


Item = SliceSpec | BlendSpec | CrossfadeSpec | RepeatSpec | UseSpec
SliceOrBlend = SliceSpec | BlendSpec
"""What the embedding or the head is taken from."""


@dataclass(frozen=True, slots=True)
class DonorSpec:
    """A donor: `source` is a folder or a hub id (at `revision`), or `stack` a spec file whose result is the donor.

    `like` names a reference config (a folder, a config.json, or a packaged one) that stands in while weights are away.
    With `stage`, `stack` is the name of another document of the same text, and `stage` what that document says.
    """

    name: str
    source: str | None = None
    revision: str | None = None
    like: str | None = None
    stack: str | None = None
    stage: StackSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NamedStack:
    """One entry of `stacks`: items that `use` can refer to."""

    name: str
    items: tuple[Item, ...]
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How the result is stored: element type (None keeps the donors') and the most bytes of a shard."""

    dtype: Dtype | None = None
    shard_size: int = 5_000_000_000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Where the row of a token comes from, in donors that lack it or, by `force`, in all: zeros where `donor` is None.

    It is the row of the same token, or of the one called `like`, or row `number`.
    """

    token: str
    donor: str | None = None
    like: str | None = None
    number: int | None = None
    force: bool = False
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VocabularySpec:
    """That embedding and head follow the tokenizer: with a `union`, of all donors' tokens, begun with the tokenizer's.

    Rows are filled up to a multiple of `pad_to_multiple_of`.
    """

    union: bool = False
    tokens: tuple[TokenRow, ...] = ()
    pad_to_multiple_of: int | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A whole spec. Donors named by `base`, `tokenizer` and `config` are None where the spec leaves the default.

    Without `vocabulary` the tokenizer's files are carried along and no row moves. `chat_template` is Jinja.
    """

    name: str
    donors: tuple[DonorSpec, ...]
    stack: tuple[Item, ...]
    stacks: tuple[NamedStack, ...] = ()
    base: str | None = None
    embed: SliceOrBlend | None = None
    head: SliceOrBlend | None = None
    tokenizer: str | None = None
    vocabulary: VocabularySpec | None = None
    chat_template: str | None = None
    config: str | None = None
    output: OutputSpec = OutputSpec()
    source: str = "<spec>"
    dialect: Dialect = Dialect.NATIVE
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    marks: tuple[tuple[str, Mark], ...] = field(default=(), compare=False, repr=False)
    """Where the top-level keys stand in the text, by key."""

    def mark_of(self, key: str) -> Mark:
        """The place of a top-level key, or the whole source where it was not written."""
        return dict(self.marks).get(key, Mark(self.source))
