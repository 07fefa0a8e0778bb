"""The description of a model family: tensors with roles and symbolic shapes, and config entries that depend on layers.

Values only; the YAML is read by `parser`, and unknown families are described by `inference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stacker.arch.files.formula import Formula
from stacker.formats.json_object import Json
from stacker.tensors import Dtype

Config = Mapping[str, Json]


class Part(StrEnum):
    """The position of a tensor on the residual stream: before the layers, in a layer, or after them."""

    EMBED = "embed"
    LAYER = "layer"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class TensorTemplate:
    """A tensor of every layer (named without the layer prefix), or one outside the layers (full name).

    `shape` holds formulas over the dimensions; `when` is true in layers or configs that have the tensor (None: all).
    `{e}` in a name runs over `count` experts. `optional` tensors are not expected, but may exist. A `dtype` of None is
    the config's.
    """

    name: str
    role: str
    part: Part
    shape: tuple[Formula, ...]
    when: Formula | None = None
    count: Formula | None = None
    optional: bool = False
    dtype: Dtype | None = None


class WriteKind(StrEnum):
    """How the stacked layers' values are written to the new config, or which stacks are refused for them.

    list: one entry per layer. indices: the indices of layers with a true value. prefix, suffix: number of leading or
    trailing layers with a true value, refused if others are true. mapping: an object by layer index. runs: as [[values,
    1]]. solve: new values for the entries of `over`, refused if none reproduce all layers' values.

    constant: the entry stays, refused if layers differ. position: refused if a layer's new index implies another value;
    advised: the same as a warning. last: refused unless the last layer's value is true. supply: a value is [gives,
    takes], refused unless an earlier layer gives what a layer takes (null: nothing). shared: layers with a true value
    use tensors of the first of them, refused unless all are one donor's and its first comes first. whole: refused
    unless the layers with a true value are all those of one donor, in its order.
    """

    LIST = "list"
    INDICES = "indices"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    MAPPING = "mapping"
    RUNS = "runs"
    SOLVE = "solve"
    CONSTANT = "constant"
    POSITION = "position"
    LAST = "last"
    SUPPLY = "supply"
    SHARED = "shared"
    WHOLE = "whole"
    ADVISED = "advised"


POSITIONAL = frozenset(
    {WriteKind.POSITION, WriteKind.LAST, WriteKind.SUPPLY, WriteKind.SHARED, WriteKind.WHOLE, WriteKind.ADVISED}
)
"""Kinds that only constrain positions."""
CHECK_ONLY = POSITIONAL | {WriteKind.CONSTANT}
"""Kinds that only refuse stacks and write no config entry."""
KEYLESS = POSITIONAL | {WriteKind.SOLVE}
"""Kinds without a config key."""


@dataclass(frozen=True, slots=True)
class LayerRule:
    """One property of layers that the config holds by layer index.

    `read` are formulas over the config, the layer index `i` and the `depth`; the first with a value is the layer's
    value in its donor. `write` is how the stack's values are written under `key`; entries named by `drop` are removed,
    those of `put` added. `over` are the entries to solve for, each with a formula for its candidates in order. The rule
    applies if `when` is None or true (not if a name is missing), and `reason` is shown when it refuses a stack.
    """

    name: str
    key: str
    write: WriteKind
    read: tuple[Formula, ...]
    when: Formula | None = None
    drop: tuple[str, ...] = ()
    put: tuple[tuple[str, Json], ...] = ()
    over: tuple[tuple[str, Formula], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model family: its depth, tensors and config rules.

    `depth` is a formula for the number of layers, usually a config key. `scope` is the config key of the nested
    language model config ("" if not nested), and `inner` the name prefix of a wrapper's language model; the wrapper's
    other tensors go with the embedding. `prefix` begins the names of layers' tensors, with `{i}` for the index; `root`
    begins names in full, and some checkpoints leave it out. `defaults` are the values of absent config entries.
    `dimensions` are named formulas for shapes, each over the config and those before it. `sized` are config entries
    computed from `depth` and `old_depth`. `tied` pairs a tensor that may be absent with the one it shares. `ignored`
    are patterns for names of tensors that stacks leave out, with the reason. `apart` are names, with `{i}`, of layers'
    tensors outside the layers (see `layer_names`). `agree` are config keys whose values all donors of a stack must
    share.
    """

    name: str
    model_types: tuple[str, ...]
    depth: Formula
    prefix: str
    scope: str = ""
    root: str = ""
    defaults: tuple[tuple[str, Json], ...] = ()
    dimensions: tuple[tuple[str, Formula], ...] = ()
    tensors: tuple[TensorTemplate, ...] = ()
    rules: tuple[LayerRule, ...] = ()
    sized: tuple[tuple[str, Formula], ...] = ()
    tied: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    apart: tuple[str, ...] = ()
    agree: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    inferred: bool = False
    inner: str = ""
