"""A donor as far as a plan needs it: config, architecture, tensor table, and where each tensor's bytes lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

from stacker.arch.files.architecture import Architecture, Config, Part
from stacker.arch.layer_names import find_split_axis
from stacker.core.values.expression import Copy, Expression, columns_of
from stacker.errors import Problem
from stacker.tensors import TensorRef, TensorSpec

GENERATION = "generation_config.json"
"""How a checkpoint likes to generate; all other side files are the tokenizer's, or say who may use it."""


@dataclass(frozen=True, slots=True)
class DonorFile:
    """A safetensors file of a donor. `header` is the SHA-256 of its header bytes, `mtime` in ns.

    `path` is where it lies on this machine; None while it has not been fetched.
    """

    name: str
    size: int
    header: str
    path: str | None = None
    mtime: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes in a donor's file: `file` is the index in `Donor.files`, `offset` from the file's start."""

    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class DonorTensor:
    """A tensor of a donor, placed: what it is, its role, and which layer (None outside the layers) it belongs to.

    A table outside the layers that has a part for each of them has `Part.LAYER` and no layer.

    `extent` is its bytes in a file; `expression` says how it is made where it is a tensor of a nested stack or, beside
    the extent, where its rows are put in another order. Neither is set when the donor has no weights here.
    """

    spec: TensorSpec
    part: Part
    role: str
    layer: int | None = None
    suffix: str = ""
    extent: Extent | None = None
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file of the donor that may be carried along as bytes: tokenizer, generation config.

    `path` is "" while the file is only on the hub (in `source` at the commit `revision`), or nowhere but in `data`.
    """

    name: str
    path: str
    source: str = ""
    revision: str | None = None
    data: bytes | None = field(default=None, repr=False)
    """Its content where that is not the donor's."""


@dataclass(frozen=True, slots=True)
class Donor:
    """A donor, read: nothing of its weights but names, shapes and places.

    `source` is what the spec called it, `revision` the commit of a hub donor, `depth` its number of layers.
    `ignored` are tensors that no stack carries, with the reason.
    """

    name: str
    source: str
    config: Config
    architecture: Architecture
    depth: int
    tensors: Mapping[str, DonorTensor]
    files: tuple[DonorFile, ...] = ()
    side_files: tuple[SideFile, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    revision: str | None = None
    anchor: str | None = None
    """A file on this machine where the donor's others are or, once fetched, will be: its config."""
    weights: bool = True
    warnings: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    """What is odd about its files but does no harm."""
    quantized: str = ""
    """How the weights are quantised (`gptq`, `fp8` with block scales …); "" when they are plain numbers."""
    nested: Mapping[str, Donor] = field(default_factory=dict)
    """Where the donor is a stack itself: the donors that its tensors' expressions refer to, by the names they use."""

    def layers(self) -> tuple[dict[str, DonorTensor], ...]:
        """The tensors of each layer by their name after the layer prefix, its parts of tables outside among them."""
        tables: tuple[dict[str, DonorTensor], ...] = tuple({} for _ in range(self.depth))
        for tensor in self.tensors.values():
            if tensor.layer is not None and tensor.layer < self.depth:
                tables[tensor.layer][tensor.suffix] = tensor
            elif tensor.layer is None and tensor.part is Part.LAYER:
                for index, table in enumerate(tables):
                    table[tensor.suffix] = self._part(tensor, index)
        return tables

    def _part(self, tensor: DonorTensor, index: int) -> DonorTensor:
        """What a layer has of a table outside the layers: a run of rows, or of columns."""
        spec, axis = tensor.spec, find_split_axis(tensor.suffix) or 0
        shape = tuple(size // self.depth if number == axis else size for number, size in enumerate(spec.shape))
        whole = tensor.expression or Copy(TensorRef(self.name, spec.name))
        width = prod(spec.shape[axis:])
        count = width // self.depth
        return replace(
            tensor,
            spec=TensorSpec(spec.name, spec.dtype, shape),
            layer=index,
            extent=None,
            expression=columns_of(whole, width, index * count, count),
        )

    def outside(self, part: Part) -> dict[str, DonorTensor]:
        """The tensors before or after the layers by name; a tied tensor that is absent is its partner."""
        found = {name: tensor for name, tensor in self.tensors.items() if tensor.part is part}
        if part is Part.HEAD:
            found |= {name: self.tensors[partner] for name, partner in self.tied()}
        return found

    def tied(self) -> tuple[tuple[str, str], ...]:
        """The family's pairs of which the first is absent here because it shares the second's values.

        None where a head is there under another name.
        """
        if any(tensor.part is Part.HEAD and tensor.role == "head" for tensor in self.tensors.values()):
            return ()
        pairs = self.architecture.tied
        return tuple((name, partner) for name, partner in pairs if name not in self.tensors and partner in self.tensors)


def all_donors(donors: Mapping[str, Donor]) -> dict[str, Donor]:
    """Donors and those nested in them, by the names that expressions use."""
    return {**{name: inner for donor in donors.values() for name, inner in donor.nested.items()}, **donors}
