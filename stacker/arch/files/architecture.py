"""Defines the description of a model family: its tensors with roles and shapes, and its rules for config entries.

The module `parser` reads descriptions from YAML files, and `inference` infers them for families without a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stacker.arch.files.clients import ClientFacts
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
    """Describes a tensor that every layer has, or a tensor outside the layers.

    `when` is a condition for having the tensor, `count` the number of experts, and `optional` whether it may be absent.
    """

    name: str
    """The tensor's name, without the layer prefix if it is in a layer; `{e}` stands for the index of an expert."""
    role: str
    part: Part
    shape: tuple[Formula, ...]
    """The size of each axis, as a formula that may use the family's dimensions."""
    when: Formula | None = None
    """The condition is true for layers or configs that have the tensor; None if all layers and configs have it."""
    count: Formula | None = None
    """The number of experts if the name contains `{e}`, otherwise None."""
    optional: bool = False
    """Whether a donor may lack the tensor."""
    dtype: Dtype | None = None
    """The dtype of the tensor; None if the tensor has the dtype that the config states."""


class WriteKind(StrEnum):
    """How a layer rule writes the values of a stack's layers to the new config, or which stacks the rule refuses."""

    LIST = "list"
    """Writes a list with an entry for each layer."""
    INDICES = "indices"
    """Writes a list of the indices of the layers whose value is true."""
    PREFIX = "prefix"
    """Writes how many layers have a true value; refuses a stack in which one of them comes after a false value."""
    SUFFIX = "suffix"
    """Writes how many layers have a true value; refuses a stack in which one of them comes before a false value."""
    MAPPING = "mapping"
    """Writes a JSON object with the layer indices as keys, without the layers whose value is false."""
    RUNS = "runs"
    """Writes `[[values, 1]]`, where `values` is the list of all layers' values and 1 means that it is used once."""
    SOLVE = "solve"
    """Writes new entries for the keys in `over`; refuses a stack if no candidates yield the values of all layers."""
    CONSTANT = "constant"
    """Leaves the config entry unchanged; refuses a stack whose layers have different values."""
    POSITION = "position"
    """Writes nothing; refuses a stack if the config implies a different value for a layer at its new index."""
    LAST = "last"
    """Writes nothing; refuses a stack whose last layer has a false value."""
    SUPPLY = "supply"
    """Writes nothing; a value is a pair [provided, taken], in which null means nothing.

    Refuses a stack if a layer takes something that no earlier layer provides.
    """
    SHARED = "shared"
    """Writes nothing; serves models in which the layers with a true value all use the tensors of the first such layer.

    Refuses a stack unless these layers come from one donor and begin with the first such layer of that donor.
    """
    WHOLE = "whole"
    """Writes nothing; refuses a stack unless its layers with a true value are all such layers of a donor, in order."""
    ADVISED = "advised"
    """Writes nothing; warns if the config implies a different value for a layer at its new index."""


POSITIONAL = frozenset(
    {WriteKind.POSITION, WriteKind.LAST, WriteKind.SUPPLY, WriteKind.SHARED, WriteKind.WHOLE, WriteKind.ADVISED}
)
"""Kinds that write nothing and only restrict the order of the layers in a stack."""
CHECK_ONLY = POSITIONAL | {WriteKind.CONSTANT}
"""Kinds that write no config entry and only check the layers of a stack."""
KEYLESS = POSITIONAL | {WriteKind.SOLVE}
"""Kinds whose rules do not name a config key to write."""


@dataclass(frozen=True, slots=True)
class LayerRule:
    """A rule for one property of layers, such as the window size: how a config states the property for each layer.

    `read` lists formulas for the value of a layer in a donor's config; `write` says how the values of a stack's layers
    are stored in the new config, or which stacks the rule refuses. `when` is a condition for using the rule.
    """

    name: str
    key: str
    """The config key to write; "" if `write` is a kind in KEYLESS."""
    write: WriteKind
    read: tuple[Formula, ...]
    """Formulas for the value of a layer; the first one that has a value is used.

    They may use config entries, the layer index `i` and the number of layers `depth`.
    """
    when: Formula | None = None
    """A condition for applying the rule, false if the config lacks a name in it; None if the rule always applies."""
    drop: tuple[str, ...] = ()
    """Config keys that are removed from the new config when the rule is used to write it."""
    put: tuple[tuple[str, Json], ...] = ()
    """Config entries that are added to the new config when the rule is used to write it."""
    over: tuple[tuple[str, Formula], ...] = ()
    """For SOLVE: config keys to write, each with a formula for the list of values to try, preferred values first."""
    reason: str = ""
    """The explanation shown when the rule refuses a stack."""


@dataclass(frozen=True, slots=True)
class Fold:
    """How tensors change if the residual stream that a layer reads and writes is stored divided by a product P of hops.

    A weight w becomes (w + offset) · P^power - offset, where `offset` is the number that the model adds to the weight.
    """

    power: int
    offset: float = 0.0


FOLDS: dict[str, Fold] = {
    "divide": Fold(-1),
    "divide 1 + w": Fold(-1, 1.0),
    "multiply": Fold(1),
    "keep": Fold(0),
}
"""The folds by the words of an architecture file.

What writes to the residual stream is divided, what reads it without a norm is multiplied, and all else is kept.
"""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Describes a model family: the tensors of its models, and the config entries that depend on the layers.

    Pairs have a config key, a name or a pattern first; in `tied`, the names of an absent tensor and its substitute.
    """

    name: str
    model_types: tuple[str, ...]
    """The values of `model_type` in the configs of this family."""
    depth: Formula
    """The number of layers, usually just the name of a config key."""
    prefix: str
    """The beginning of the names of tensors in layers, with `{i}` for the layer index."""
    scope: str = ""
    """The config key under which the language model's config is nested; "" if it is not nested."""
    defaults: tuple[tuple[str, Json], ...] = ()
    """Config keys, each with the value that applies if a config does not set the key."""
    dimensions: tuple[tuple[str, Formula], ...] = ()
    """Names for use in shapes, each with a formula that may use the config and the dimensions before it."""
    tensors: tuple[TensorTemplate, ...] = ()
    rules: tuple[LayerRule, ...] = ()
    sized: tuple[tuple[str, Formula], ...] = ()
    """Config keys whose values depend on the number of layers, each with a formula for the value in the new config.

    The formula may use the new and the old number of layers, `depth` and `old_depth`.
    """
    tied: tuple[tuple[str, str], ...] = ()
    """Names of tensors that may be absent, each with the name of the tensor that is used instead."""
    ignored: tuple[tuple[str, str], ...] = ()
    """Patterns for names of tensors that every stack omits, each with the reason."""
    apart: tuple[str, ...] = ()
    """Patterns for names of tensors that are stored outside the layers but belong to layers (see `layer_names`)."""
    hop: tuple[tuple[str, Fold], ...] = ()
    """Tensor roles, or names of tensors in layers, whose fold differs from the general rule in `stacker.arch.hops`."""
    no_hop: tuple[tuple[Formula, str], ...] = ()
    """Conditions on the config under which a stack cannot have hops, each with the reason."""
    agree: tuple[str, ...] = ()
    """Config keys whose values must be equal in all donors of a stack."""
    notes: tuple[str, ...] = ()
    clients: tuple[ClientFacts, ...] = ()
    """What is known of programs other than transformers that load this family; not inherited by other families."""
    no_head: bool = False
    """Whether the programs that load this family always use the embedding as head."""
    inferred: bool = False
    """Whether this description was inferred from a donor because the family has no file."""
    inner: str = ""
    """The name prefix of the language model inside a wrapper; "" if the model is no wrapper.

    The wrapper's tensors outside the language model are treated like the embedding.
    """
