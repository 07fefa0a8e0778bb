"""The immutable values that a spec is parsed into, the same for the native and the mergekit dialect.

Donors are not looked at: a slice bound that was not written is None, and a `use` is only a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stacker.errors import Mark, Problem
from stacker.tensors import Dtype


class Dialect(StrEnum):
    """The two languages of specs: stacker's own and mergekit's."""

    NATIVE = "native"
    MERGEKIT = "mergekit"


Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Gradient:
    """A number that varies over the layers of a slice, along straight lines between equally spaced `knots`.

    A single knot is a constant. A tensor outside the layers (embedding, final norm, head) has the value of the first
    knot.
    """

    knots: tuple[float, ...]

    def at(self, position: int, count: int) -> float:
        """The value at layer `position` (counted from 0) of `count` layers.

        A slice of one layer has the value of the last knot.
        """
        if len(self.knots) == 1:
            return self.knots[0]
        place = (position / (count - 1) if count > 1 else 1.0) * (len(self.knots) - 1)
        left = min(int(place), len(self.knots) - 2)
        return self.knots[left] + (place - left) * (self.knots[left + 1] - self.knots[left])


@dataclass(frozen=True, slots=True)
class Rule:
    """The value for the tensors that `match` selects.

    `match` is a role or its prefix (`attn.q`, `attn`), a pattern with `*` over full tensor names, or `*` for every
    tensor.
    """

    match: str
    value: Gradient | Value


@dataclass(frozen=True, slots=True)
class Parameter:
    """Rules in the order they are tried: the first rule that matches a tensor decides its value."""

    rules: tuple[Rule, ...]

    def over(self, other: Parameter | None) -> Parameter:
        """A parameter that tries these rules first and then those of `other`, if there is one."""
        return self if other is None else Parameter(self.rules + other.rules)


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter of an op with its name, as written at one place of the spec."""

    name: str
    parameter: Parameter
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """Layers [start, stop) of a donor; `start` None means its first layer, `stop` None its end.

    `scale` multiplies the tensors of these layers. `settings` are this source's own parameters if the slice is in a
    blend.
    """

    donor: str
    start: int | None = None
    stop: int | None = None
    scale: Parameter | None = None
    settings: tuple[Setting, ...] = ()
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlendSpec:
    """A blend that makes one layer from the first layers of all sources, one from their second layers, and so on.

    The sources of an embedding or head are whole donors. `base` is the reference of ops that need one; None means the
    spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CrossfadeSpec:
    """Slices one after another; the last `over` layers of each are blended with the first `over` layers of the next.

    `base` is the reference of ops that need one; None means the spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    over: int
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RepeatSpec:
    """Items that the stack has `times` times in all; `scale` multiplies the tensors of every round after the first."""

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
"""A run of layers that is copied or blended, or the source of the embedding or head."""


@dataclass(frozen=True, slots=True)
class DonorSpec:
    """A donor: `source` is a folder or a hub id (at `revision`), or `stack` is a spec file whose result is the donor.

    `like` names a reference config (a folder, a config.json, or a packaged one) that is used while the weights are
    missing. If `stage` is given, it is the spec of another document in the same text, and `stack` is that document's
    name.
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
    """How the result is stored.

    `dtype` None keeps the donors' element types, and `shard_size` is the largest size of a file in bytes.
    """

    dtype: Dtype | None = None
    shard_size: int = 5_000_000_000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Where the embedding and head rows of `token` come from in donors that lack it, or with `force` in every donor.

    `donor` None means a row of zeros. Otherwise it is that donor's row of the same token, of the token `like`, or at
    index `number`.
    """

    token: str
    donor: str | None = None
    like: str | None = None
    number: int | None = None
    force: bool = False
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VocabularySpec:
    """How the tokenizer of the result is changed; the rows of embedding and head are arranged to match it.

    `union` appends the added tokens of all donors, and `tokens` are sources of single tokens' rows. The number of rows
    is padded up to a multiple of `pad_to_multiple_of`.
    """

    union: bool = False
    tokens: tuple[TokenRow, ...] = ()
    pad_to_multiple_of: int | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A whole parsed spec. `base`, `tokenizer` and `config` are names of donors; None means that none was written.

    If `vocabulary` is None, the tokenizer files are copied and the rows of embedding and head keep their order.
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
    """The text of a Jinja template; None keeps the tokenizer's own."""
    config: str | None = None
    ignored_keys: tuple[str, ...] = ()
    """Config entries that the user declared independent of the layers' positions."""
    output: OutputSpec = OutputSpec()
    source: str = "<spec>"
    """The name of the spec's text in messages, such as its path."""
    dialect: Dialect = Dialect.NATIVE
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    marks: tuple[tuple[str, Mark], ...] = field(default=(), compare=False, repr=False)
    """Where each top-level key is written in the text."""

    def mark_of(self, key: str) -> Mark:
        """Where a top-level key is written, or the source as a whole if the key was not written."""
        return dict(self.marks).get(key, Mark(self.source))
