"""The description of a model family: tensors with roles and symbolic shapes, and config entries that depend on layers.

This module only defines the values: `parser` reads them from YAML, `inference` makes them for families without a file.
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
    """Where the model uses a tensor: before the layers, in a layer, or after the layers."""

    EMBED = "embed"
    LAYER = "layer"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class TensorTemplate:
    """One line of a family's file: it describes a tensor of every layer, or a tensor outside the layers."""

    name: str
    """Without the layer prefix for a tensor in a layer, else in full; `{e}` stands for the index of an expert."""
    role: str
    part: Part
    shape: tuple[Formula, ...]
    """A formula over the dimensions for each size."""
    when: Formula | None = None
    """True for the layers or configs that have the tensor; None if all have it."""
    count: Formula | None = None
    """The number of experts, for a name with `{e}`."""
    optional: bool = False
    """Whether a donor may lack the tensor."""
    dtype: Dtype | None = None
    """None for the dtype that the config states."""


class WriteKind(StrEnum):
    """How a rule writes the values of a stack's layers to the new config, or for which values it refuses the stack."""

    LIST = "list"
    """Writes a list with an entry for each layer."""
    INDICES = "indices"
    """Writes a list of the indices of the layers with a true value."""
    PREFIX = "prefix"
    """Writes the number of leading layers with a true value; refused if a later layer has a true value too."""
    SUFFIX = "suffix"
    """Writes the number of trailing layers with a true value; refused if an earlier layer has a true value too."""
    MAPPING = "mapping"
    """Writes an object from layer index to value."""
    RUNS = "runs"
    """Writes `[[values, 1]]`: the list of all values, used once."""
    SOLVE = "solve"
    """Writes new values of the entries in `over`; refused unless some of their candidates reproduce all values."""
    CONSTANT = "constant"
    """Leaves the entry as it is; refused if the layers' values differ."""
    POSITION = "position"
    """Writes nothing; refused if the config implies another value for a layer at its new index."""
    LAST = "last"
    """Writes nothing; refused unless the last layer's value is true."""
    SUPPLY = "supply"
    """Writes nothing; a value is `[gives, takes]`, and what a layer takes (null: nothing) an earlier one must give."""
    SHARED = "shared"
    """Writes nothing; layers with a true value must come from one donor, whose first such layer must come first.

    They all use the tensors of that first layer.
    """
    WHOLE = "whole"
    """Writes nothing; the layers with a true value must be all such layers of one donor, in its order."""
    ADVISED = "advised"
    """As POSITION, but with a warning where POSITION refuses the stack."""


POSITIONAL = frozenset(
    {WriteKind.POSITION, WriteKind.LAST, WriteKind.SUPPLY, WriteKind.SHARED, WriteKind.WHOLE, WriteKind.ADVISED}
)
"""Kinds that write nothing and only restrict where layers may be placed."""
CHECK_ONLY = POSITIONAL | {WriteKind.CONSTANT}
"""Kinds that write no config entry and only check stacks."""
KEYLESS = POSITIONAL | {WriteKind.SOLVE}
"""Kinds whose rules do not name a config key to write."""


@dataclass(frozen=True, slots=True)
class LayerRule:
    """A property of layers that the config states: how to read a layer's value and how to write those of a stack."""

    name: str
    key: str
    """The config key to write, "" for the kinds in KEYLESS."""
    write: WriteKind
    read: tuple[Formula, ...]
    """Formulas over the config, the layer index `i` and the `depth`; the first that has a value yields the layer's."""
    when: Formula | None = None
    """The rule applies if this is None or true; a name that the config lacks makes it false."""
    drop: tuple[str, ...] = ()
    """Config keys that are removed when the rule is written."""
    put: tuple[tuple[str, Json], ...] = ()
    """Config entries that are added when the rule is written."""
    over: tuple[tuple[str, Formula], ...] = ()
    """For SOLVE: the config keys to solve for, each with a formula that lists its candidates, preferred ones first."""
    reason: str = ""
    """The explanation shown when the rule refuses a stack."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model family: how its configs and tensors describe the layers."""

    name: str
    model_types: tuple[str, ...]
    """The values of `model_type` in the configs of this family."""
    depth: Formula
    """The number of layers, usually just the name of a config key."""
    prefix: str
    """The beginning of the names of tensors in layers, with `{i}` for the layer index."""
    scope: str = ""
    """The config key of a nested language model config, "" if it is not nested."""
    root: str = ""
    """The beginning of full tensor names that some checkpoints leave out."""
    defaults: tuple[tuple[str, Json], ...] = ()
    """Config keys with the values that they have where a config does not set them."""
    dimensions: tuple[tuple[str, Formula], ...] = ()
    """Names with formulas for use in shapes; a formula may use the config and the dimensions before it."""
    tensors: tuple[TensorTemplate, ...] = ()
    rules: tuple[LayerRule, ...] = ()
    sized: tuple[tuple[str, Formula], ...] = ()
    """Config keys, each with a formula for its new value, which may use `depth` and `old_depth`."""
    tied: tuple[tuple[str, str], ...] = ()
    """Names of tensors that may be absent, each with the name of the tensor used in its place."""
    ignored: tuple[tuple[str, str], ...] = ()
    """Name patterns of tensors that stacks leave out, each with the reason."""
    apart: tuple[str, ...] = ()
    """Name patterns of tensors that are stored outside the layers but belong to them (see `layer_names`)."""
    agree: tuple[str, ...] = ()
    """Config keys whose values must be equal in all donors of a stack."""
    notes: tuple[str, ...] = ()
    inferred: bool = False
    """Whether the family has no file and was inferred from a donor."""
    inner: str = ""
    """The name prefix of the language model inside a wrapper, whose other tensors are treated like the embedding."""
