"""Defines the immutable values that a spec is parsed into, which are the same for the native and the mergekit dialect.

No donor is read: a slice bound that the text leaves out is None, and a `use` has only the name of a list of items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stacker.errors import Mark, Problem
from stacker.spec.parameters.space import ParameterValue, SpecParameter
from stacker.tensors import Dtype


class Dialect(StrEnum):
    """The two languages of specs: stacker's own and mergekit's."""

    NATIVE = "native"
    MERGEKIT = "mergekit"


Value = float | bool | str


@dataclass(frozen=True, slots=True)
class Gradient:
    """A number that varies over the layers of a slice, linearly between equally spaced `knots`.

    A single knot is a constant. A tensor outside the layers (embedding, final norm, head) gets the value of the first
    knot.
    """

    knots: tuple[float, ...]

    def at(self, position: int, count: int) -> float:
        """The value at layer `position` (counted from 0) of `count` layers.

        If `count` is 1, the value is the last knot.
        """
        if len(self.knots) == 1:
            return self.knots[0]
        place = (position / (count - 1) if count > 1 else 1.0) * (len(self.knots) - 1)
        left = min(int(place), len(self.knots) - 2)
        return self.knots[left] + (place - left) * (self.knots[left + 1] - self.knots[left])


@dataclass(frozen=True, slots=True)
class Rule:
    """A value for the tensors that `match` selects.

    `match` is a tensor role or the first part of one (`attn.q`, `attn`), a pattern with `*` for full tensor names, or
    `*` for every tensor.
    """

    match: str
    value: Gradient | Value
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Rules that give a tensor its value.

    The rules are tried in order, and the first rule that matches the tensor decides.
    """

    rules: tuple[Rule, ...]

    def over(self, other: Parameter | None) -> Parameter:
        """A parameter that tries these rules first and then the rules of `other`, if `other` is not None."""
        return self if other is None else Parameter(self.rules + other.rules)


@dataclass(frozen=True, slots=True)
class Setting:
    """A named parameter of an op, as written at one place of the spec."""

    name: str
    parameter: Parameter
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """Layers [start, stop) of a donor; `start` None means from the first layer, `stop` None to the last.

    `scale` multiplies the tensors of these layers. In a blend, `settings` are the op's parameters for this source
    alone. `hop` is the factor of an item (see `Item`); it is 1 for a source or a base of a blend.
    """

    donor: str
    start: int | None = None
    stop: int | None = None
    scale: Parameter | None = None
    settings: tuple[Setting, ...] = ()
    hop: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BlendSpec:
    """A blend of layers: the first layers of all sources make one layer, their second layers another, and so on.

    In a blend of embeddings or heads, the sources are whole donors. `base` holds the layers that ops such as `ties`
    compare the sources with; None means the spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    hop: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)
    op_mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CrossfadeSpec:
    """Slices in a row; the last `over` layers of each slice are blended with the first `over` layers of the next slice.

    `base` holds the layers that ops such as `ties` compare the sources with; None means the spec's `base`.
    """

    sources: tuple[SliceSpec, ...]
    over: int
    op: str
    settings: tuple[Setting, ...] = ()
    base: SliceSpec | None = None
    hop: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)
    op_mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RepeatSpec:
    """A list of items that is put into the stack `times` times, one round after another.

    `scale` multiplies the tensors of every round after the first; `hop` acts before every round.
    """

    items: tuple[Item, ...]
    times: int
    scale: Parameter | None = None
    hop: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UseSpec:
    """A reference to a named list of items in the spec's `stacks`."""

    name: str
    hop: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)


Item = SliceSpec | BlendSpec | CrossfadeSpec | RepeatSpec | UseSpec
"""An item of a stack; its `hop`, a number above 0, multiplies the residual stream that enters its first layer."""
SliceOrBlend = SliceSpec | BlendSpec
"""Layers that are copied or blended, or the source of the embedding or head."""


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """A LoRA that is folded into a donor: `source` is a folder or a hub id (at `revision`).

    `weight` multiplies the change that the adapter makes.
    """

    source: str
    revision: str | None = None
    weight: float = 1.0
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DonorSpec:
    """A donor: `source` is a folder or a hub id (at `revision`), or `stack` is a spec file whose result is the donor.

    `like` names a reference config (a folder, a config.json, or a packaged one) to use while the weights are missing.
    `parameters` are the values, by name, that the spec file of `stack` is given. In a text of several documents,
    `stage` is the spec of an earlier document that makes the donor, and `stack` is that document's name. The
    `adapters` are folded into the donor's weights.
    """

    name: str
    source: str | None = None
    revision: str | None = None
    like: str | None = None
    stack: str | None = None
    parameters: tuple[tuple[str, ParameterValue], ...] = ()
    stage: StackSpec | None = None
    adapters: tuple[AdapterSpec, ...] = ()
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

    With `dtype` None every tensor keeps the element type of its donor. `shard_size` is the largest size of a file in
    bytes. With `dequantize`, quantised weights of donors are read as plain numbers.
    """

    dtype: Dtype | None = None
    shard_size: int | None = None
    dequantize: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Where the embedding and head rows of `token` come from.

    This applies to donors that lack the token, and with `force` to every donor. `donor` None means a row of zeros;
    otherwise the row is that donor's row of the token `like`, of index `number`, or of `token` itself if `like` and
    `number` are None.
    """

    token: str
    donor: str | None = None
    like: str | None = None
    number: int | None = None
    force: bool = False
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VocabularySpec:
    """How the tokenizer of the result is changed; the rows of embedding and head are arranged to match the tokenizer.

    `union` appends the added tokens of all donors, and `tokens` says where the rows of single tokens come from. The
    number of rows is padded up to a multiple of `pad_to_multiple_of`.
    """

    union: bool = False
    tokens: tuple[TokenRow, ...] = ()
    pad_to_multiple_of: int | None = None
    mark: Mark | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A whole parsed spec: `stack` makes the layers of the result, and `stacks` are lists of items for `use`.

    `base`, `towers`, `tokenizer` and `config` are names of donors, or None if the text does not set them. If
    `vocabulary` is None, the tokenizer files are copied, and the rows of embedding and head keep their order.
    """

    name: str
    donors: tuple[DonorSpec, ...]
    stack: tuple[Item, ...]
    stacks: tuple[NamedStack, ...] = ()
    base: str | None = None
    embed: SliceOrBlend | None = None
    head: SliceOrBlend | None = None
    towers: str | None = None
    """The donor of what a multimodal model has beside its language model, such as a vision tower."""
    tokenizer: str | None = None
    vocabulary: VocabularySpec | None = None
    chat_template: str | None = None
    """The text of a Jinja template; None keeps the tokenizer's own."""
    config: str | None = None
    ignored_keys: tuple[str, ...] = ()
    """Config entries that the user declared independent of layers' positions."""
    output: OutputSpec = OutputSpec()
    source: str = "<spec>"
    """The name of the spec's text in messages, such as its path."""
    dialect: Dialect = Dialect.NATIVE
    parameters: tuple[SpecParameter, ...] = field(default=(), compare=False)
    """The named values of the text, which are already put in wherever the text uses them."""
    problems: tuple[Problem, ...] = field(default=(), compare=False)
    marks: tuple[tuple[str, Mark], ...] = field(default=(), compare=False, repr=False)
    """Where each top-level key is written in the text."""

    def mark_of(self, key: str) -> Mark:
        """Where a top-level key is written in the text; if it is not written, a mark of the whole text."""
        return dict(self.marks).get(key, Mark(self.source))
