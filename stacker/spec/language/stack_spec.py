"""The frozen values of a parsed spec, the same for both dialects.

Nothing is resolved against donors: a bound that was not written is None, a `use` is a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stacker.errors import Mark, Problem
from stacker.tensors import Dtype


class Dialect(StrEnum):
    """The language in which a spec was written."""

    NATIVE = "native"
    MERGEKIT = "mergekit"


Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Gradient:
    """A number that varies over a slice: knots equally spaced over its layers, linear in between; one is a constant.

    A tensor outside the layers (embedding, final norm, head) has the value of the first knot: it is position 0 of 2.
    """

    knots: tuple[float, ...]

    def at(self, position: int, count: int) -> float:
        """The value at layer `position` (from 0) of `count`. A slice of one layer has the value of the last knot."""
        if len(self.knots) == 1:
            return self.knots[0]
        place = (position / (count - 1) if count > 1 else 1.0) * (len(self.knots) - 1)
        left = min(int(place), len(self.knots) - 2)
        return self.knots[left] + (place - left) * (self.knots[left + 1] - self.knots[left])


@dataclass(frozen=True, slots=True)
class Rule:
    """A value for the tensors that `match` selects.

    `match` is a role or its prefix (`attn`, `attn.q`), a pattern over full tensor names with `*`, or `*` for all.
    """

    match: str
    value: Gradient | Value


@dataclass(frozen=True, slots=True)
class Parameter:
    """Rules in the order they are tried: the first rule that matches a tensor decides its value."""

    rules: tuple[Rule, ...]

    def over(self, other: Parameter | None) -> Parameter:
        """These rules first, and those of `other` where none of these matches."""
        return self if other is None else Parameter(self.rules + other.rules)


@dataclass(frozen=True, slots=True)
class Setting:
    """An op's parameter by name, as written at one place of the spec."""

    name: str
    parameter: Parameter
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """Layers [start, stop) of a donor. A bound that was not written is None; without both it is the whole donor.

    `scale` multiplies the slice's outputs; `settings` are per-source parameters of a blend that the slice is part of.
    """

    donor: str
    start: int | None = None
    stop: int | None = None
    scale: Parameter | None = None
    settings: tuple[Setting, ...] = ()
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlendSpec:
    """A blend of equally many layers from each source, one output layer per position. Embed and head take whole donors.

    `base` is the reference of ops that need one; None means the spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CrossfadeSpec:
    """Slices in a row, where the last `over` layers of each are blended with the first `over` layers of the next."""

    sources: tuple[SliceSpec, ...]
    over: int
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RepeatSpec:
    """Items repeated `times` times in all; `scale` multiplies the outputs of every round after the first."""

    items: tuple[Item, ...]
    times: int
    scale: Parameter | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UseSpec:
    """A reference to a named list of items in the spec's `stacks`."""

    name: str
    mark: Mark | None = field(default=None, compare=False, repr=False)


Item = SliceSpec | BlendSpec | CrossfadeSpec | RepeatSpec | UseSpec
SliceOrBlend = SliceSpec | BlendSpec
"""A run of layers that is copied or blended; also where the embedding or the head is taken from."""


@dataclass(frozen=True, slots=True)
class DonorSpec:
    """A donor: `source` is a folder or a hub id (at `revision`), or `stack` is a spec file whose result is the donor.

    `like` names a reference config (a folder, a config.json, or a packaged one), used while the weights are missing.
    With `stage`, `stack` is the name of another document in the same text, and `stage` is that document's spec.
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
    """One entry of `stacks`: a list of items that `use` refers to by name."""

    name: str
    items: tuple[Item, ...]
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How the result is stored: element type (None keeps the donors') and the largest size of a shard in bytes."""

    dtype: Dtype | None = None
    shard_size: int = 5_000_000_000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The source of a token's embedding and head row, for donors that lack the token or, with `force`, for all.

    `donor` None means zeros. Else it is the donor's row of the same token, of the token `like`, or with index `number`.
    """

    token: str
    donor: str | None = None
    like: str | None = None
    number: int | None = None
    force: bool = False
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VocabularySpec:
    """How the rows of embedding and head follow the tokenizer. A `union` adds all donors' tokens to the tokenizer's.

    The number of rows is padded to a multiple of `pad_to_multiple_of`.
    """

    union: bool = False
    tokens: tuple[TokenRow, ...] = ()
    pad_to_multiple_of: int | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A whole spec. `base`, `tokenizer` and `config` name donors; None leaves the default.

    Without `vocabulary` the tokenizer files are copied and rows stay as they are. `chat_template` is Jinja.
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
    """The places of the top-level keys in the text."""

    def mark_of(self, key: str) -> Mark:
        """The place of a top-level key, or of the whole source if the key was not written."""
        return dict(self.marks).get(key, Mark(self.source))
