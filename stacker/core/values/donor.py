"""Describes a donor without its weights: config, architecture, tensors, and where each tensor's bytes are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

from stacker.arch.files.architecture import Architecture, Config, Part
from stacker.arch.layer_names import find_split_axis
from stacker.core.values.columns import take_columns
from stacker.core.values.expression import Copy, Expression
from stacker.core.values.metadata import MetadataEntry
from stacker.errors import Problem
from stacker.formats.safetensors import Stamp
from stacker.tensors import TensorRef, TensorSpec


@dataclass(frozen=True, slots=True)
class DonorFile:
    """A safetensors or GGUF file: `header` is the SHA-256 of its first `header_bytes` bytes, which precede its tensors.

    `path` is where the file is on this machine, or None if it has not been fetched. `address` is set if ranges of its
    bytes are read from a server instead, such as `hf://owner/name@commit/file`. `stamp` is the version of the file
    whose header was read.
    """

    name: str
    size: int
    header: str
    path: str | None = None
    stamp: Stamp | None = field(default=None, compare=False)
    header_bytes: int = field(default=0, compare=False)
    address: str | None = None

    @property
    def place(self) -> str:
        """The path or the address where the file is read; "" if it has to be fetched first."""
        return self.path or self.address or ""


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [offset, offset + nbytes) of a donor's file; `file` is an index into `Donor.files`."""

    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class DonorTensor:
    """A tensor of a donor with its role and the number of its layer; `layer` is None outside the layers.

    A tensor outside the layers that holds a part for each layer has `Part.LAYER` and layer None. The tensor's bytes are
    stored at `extent`, or `expression` computes the tensor if the donor is a stack or its rows were reordered; `extent`
    and `expression` are None if the donor was read without weights.
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
    """A small file that is copied beside the weights: a tokenizer file, a generation config, a licence.

    `name` is relative to the donor's folder. `path` is "" if the file is only on the hub (repository `source`, commit
    `revision`) or only in `data`.
    """

    name: str
    path: str
    source: str = ""
    revision: str | None = None
    data: bytes | None = field(default=None, repr=False)
    """The content to write, if it differs from the donor's file."""


@dataclass(frozen=True, slots=True)
class Donor:
    """A donor that has been read, except for its weights.

    `source` is the source as written in the spec, `revision` the commit of a hub donor, `depth` the number of layers,
    and `weights` whether there are weights to read. `ignored` has (tensor name, reason) for tensors that are never
    written to a stack.
    """

    name: str
    source: str
    config: Config
    architecture: Architecture
    depth: int
    tensors: Mapping[str, DonorTensor]
    files: tuple[DonorFile, ...] = ()
    side_files: tuple[SideFile, ...] = ()
    other_files: tuple[str, ...] = ()
    """The names of all other files, which no stack carries."""
    ignored: tuple[tuple[str, str], ...] = ()
    revision: str | None = None
    anchor: str | None = None
    """The path of the donor's config on this machine; its other files are beside it, or will be once fetched."""
    weights: bool = True
    warnings: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    """Harmless oddities of the donor's files."""
    quantized: str = ""
    """The quantisation of the weights (`gptq`, `fp8 with block scales`, …), or "" if they are plain numbers."""
    metadata: tuple[MetadataEntry, ...] = field(default=(), repr=False)
    """The metadata of a GGUF file; empty for donors in safetensors."""
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the headers of safetensors files say beside their tensors, without the `format`."""
    alignment: int = 0
    """The alignment of tensors in a GGUF file, in bytes."""
    stored: Mapping[str, DonorTensor] = field(default_factory=dict, repr=False)
    """The tensors in the files of a donor whose weights are dequantised, by name; empty for others."""
    nested: Mapping[str, Donor] = field(default_factory=dict)
    """The donors and adapters that the expressions of a stack's or an adapted donor's tensors read, by name."""

    @property
    def is_stack(self) -> bool:
        """Whether the donor is made from a spec, so that it has no files of its own."""
        return bool(self.nested) and not self.files

    @property
    def is_adapter(self) -> bool:
        """Whether this is not a donor but an adapter of one, which has files but no layers."""
        return bool(self.files) and not self.depth

    @property
    def container(self) -> str:
        """The kind of its files: `gguf` or `safetensors`."""
        return "gguf" if self.metadata else "safetensors"

    def find_stored(self, name: str) -> DonorTensor:
        """The tensor `name` of the donor's files."""
        return self.stored.get(name) or self.tensors[name]

    def layers(self) -> tuple[dict[str, DonorTensor], ...]:
        """For each layer, a dict of the layer's tensors, keyed by name without the layer prefix.

        If a tensor outside the layers holds a part for each layer, the dict includes the layer's part.
        """
        tables: tuple[dict[str, DonorTensor], ...] = tuple({} for _ in range(self.depth))
        for tensor in self.tensors.values():
            if tensor.layer is not None and tensor.layer < self.depth:
                tables[tensor.layer][tensor.suffix] = tensor
            elif tensor.layer is None and tensor.part is Part.LAYER:
                for index, table in enumerate(tables):
                    table[tensor.suffix] = self._part(tensor, index)
        return tables

    def _part(self, tensor: DonorTensor, index: int) -> DonorTensor:
        """The part of a tensor outside the layers that belongs to layer `index`: some of its rows or columns."""
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
            expression=take_columns(whole, width, index * count, count),
        )

    def outside(self, part: Part) -> dict[str, DonorTensor]:
        """The tensors of `part` (the embedding or the head), by name.

        If a head tensor is not stored because it is tied to an embedding tensor, the embedding tensor takes its place.
        """
        found = {name: tensor for name, tensor in self.tensors.items() if tensor.part is part}
        if part is Part.HEAD:
            found |= {name: self.tensors[partner] for name, partner in self.tied()}
        return found

    def tied(self) -> tuple[tuple[str, str], ...]:
        """Pairs of tensor names: the first tensor is not stored because it has the same values as the second.

        There are no pairs if the donor stores a head tensor, since its head is then not tied.
        """
        if any(tensor.part is Part.HEAD and tensor.role == "head" for tensor in self.tensors.values()):
            return ()
        pairs = self.architecture.tied
        return tuple((name, partner) for name, partner in pairs if name not in self.tensors and partner in self.tensors)


def collect_donors(donors: Mapping[str, Donor]) -> dict[str, Donor]:
    """The given donors and the donors nested inside them, at any depth.

    The keys are the names by which expressions refer to these donors.
    """
    return {**{name: inner for donor in donors.values() for name, inner in donor.nested.items()}, **donors}
