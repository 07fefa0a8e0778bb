"""What is known of a family of models: tensors with roles and symbolic shapes, config entries that follow the layers.

Values only. Reading the YAML is `parser`, arithmetic on configs is `formula`, unknown families are `inference`.
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
    """Where on the residual stream a tensor acts: before the layers, in one, or after them."""

    EMBED = "embed"
    LAYER = "layer"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class TensorTemplate:
    """A tensor of every layer (name without the layer prefix), or one outside them (full name).

    `shape` holds formulas over the dimensions; `when` says in which layers or configs it exists (None: always).
    In a name, `{e}` runs over `count` (experts). An `optional` tensor may be absent, and is not expected. `dtype` is
    given where it is not the config's.
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
    """How the values of the stacked layers are put into the new config.

    list: one entry a layer. indices: the layers whose value is true. prefix and suffix: how many leading or trailing
    layers are true, refused when the others are not all false. mapping: by position, as an object. runs: as
    [[values, 1]]. solve: the entries of `over` are found anew, refused where none give all layers their values.
    constant: the entry stays, refused when layers differ. position: each layer must keep the value that its new place
    would give it. last: the last layer's value is true, or refused. supply: a value is [gives, takes], and what a layer
    takes (null: nothing) one before it must give.
    shared: the layers whose value is true use tensors that the first of them holds: refused unless they are of one
    donor, its first before the others. whole: they are all of one donor's in its order, or refused. advised: like
    position, but a layer that gets another value is a warning.
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
"""Ways that speak of places alone."""
CHECK_ONLY = POSITIONAL | {WriteKind.CONSTANT}
"""Ways that only forbid, and put nothing into the config."""
KEYLESS = POSITIONAL | {WriteKind.SOLVE}
"""Ways that name no config key."""


@dataclass(frozen=True, slots=True)
class LayerRule:
    """One property of a layer that the config holds by position.

    `read` are formulas over the config, the layer index `i` and the `depth`; the first that has a value gives the
    layer's in its donor. `write` puts the stacked layers' values under `key`; `drop` are entries that would contradict
    it; `put` are entries set beside it; `over` are the entries to be solved for, with a formula for what each may be,
    in the order in which it is tried; `when` says for which configs the rule holds (also not where a name in it is
    missing); `reason` is shown when a stack is refused.
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
    """A family: how deep it is, what its tensors are called, and what follows its layers.

    `depth` is a formula for the number of layers, mostly just a config key. `scope` is the config entry that holds the
    language model's own config, where that is nested ("" where it is not), and `inner` the beginning of its names where
    it is one part of a wrapper: what else there is goes with the embedding. `prefix` is what stands before a layer's
    tensors, with `{i}` for the index; `root` is a beginning of names that some checkpoints leave out. `defaults` are
    values of absent config entries. `dimensions` name the sizes that shapes are made of, each over those before it.
    `sized` are config entries computed anew from `depth` and `old_depth`. `tied` pairs a tensor that may be absent with
    the one it then shares. `ignored` are name patterns that no stack carries, with the reason. `apart` are
    names, with `{i}`, of what a layer has outside the layers (see `apart`). `agree` are config keys
    that two donors must share to meet in one stack.
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
