"""Says how output tensors become files: names, headers, alignment and order, for each container that stacker writes.

A container is a kind of checkpoint: shards in safetensors, or a GGUF file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from stacker.core.values.metadata import MetadataEntry, Patch
from stacker.formats.gguf import encode_entry, encode_infos, encode_start, pad_offsets
from stacker.formats.gguf_names import make_part_name
from stacker.formats.index import make_shard_name
from stacker.formats.safetensors import make_header
from stacker.tensors import TensorSpec

STEM = "model"
LOCK_KEY = "stacker.lock"
_PADDING_KEY = "stacker.padding"


@dataclass(frozen=True, slots=True)
class HeaderRequest:
    """What a header is made for: the tensors of file `number` (from 0) of `count` files, in file order.

    The tensors shall start at offset `residue` modulo `step`, or exactly at `residue` if `step` is 0.
    """

    tensors: Sequence[TensorSpec]
    number: int
    count: int
    residue: int = 0
    step: int = 8


@dataclass(frozen=True, slots=True)
class FileHeader:
    """The bytes before the tensors of a file. `patches` are filled in before they are written.

    `lock` is the range (offset, number of bytes) of spaces that are left for the lock, (0, 0) if there is none.
    """

    raw: bytes = field(repr=False)
    patches: tuple[Patch, ...] = ()
    lock: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Packing:
    """How tensors are put into the files of a container.

    Every tensor starts at a multiple of `alignment` bytes from the first. `name_file(number, count)` names a file;
    `sorts_by_width` says whether tensors with wider elements come first.
    """

    name_file: Callable[[int, int], str]
    make_header: Callable[[HeaderRequest], FileHeader]
    alignment: int = 1
    sorts_by_width: bool = True

    def place(self, tensors: Sequence[TensorSpec]) -> list[int]:
        """The offsets of tensors from the first, and the end of the last."""
        return pad_offsets([tensor.nbytes for tensor in tensors], self.alignment)


def _make_safetensors_header(descriptions: Mapping[str, str], request: HeaderRequest) -> FileHeader:
    raw = make_header(request.tensors, residue=request.residue, step=request.step, metadata=descriptions)
    return FileHeader(raw)


def make_safetensors_packing(descriptions: Mapping[str, str]) -> Packing:
    """The packing of safetensors files whose headers have these descriptions of tensors."""
    return Packing(make_shard_name, partial(_make_safetensors_header, descriptions))


SAFETENSORS = make_safetensors_packing({})


def make_gguf_packing(metadata: Sequence[MetadataEntry], alignment: int, tensor_count: int, room: int) -> Packing:
    """The packing of GGUF files with this metadata; the first file leaves `room` bytes for the lock.

    `tensor_count` counts the tensors of all files.
    """
    make = partial(_make_gguf_header, tuple(metadata), alignment, tensor_count, room)
    return Packing(partial(make_part_name, STEM), make, alignment, sorts_by_width=False)


def _make_gguf_header(
    metadata: Sequence[MetadataEntry], alignment: int, tensor_count: int, room: int, request: HeaderRequest
) -> FileHeader:
    first = request.number == 0
    entries = [*(metadata if first else ()), *_split_entries(request, tensor_count)]
    if not first:
        entries.insert(0, MetadataEntry("general.alignment", "u32", alignment))
    pad_key, pad_length = (LOCK_KEY, room) if first else (_PADDING_KEY, 0)
    bodies = [bytes(each.source.nbytes) if each.source else encode_entry(each.key, each.kind, each.value)
              for each in entries]  # fmt: skip
    start = encode_start(len(request.tensors), len(entries) + 1)
    infos = encode_infos(request.tensors, alignment)
    before = len(start) + sum(map(len, bodies)) + len(encode_entry(pad_key, "str", ""))
    pad_length += _find_padding(before + pad_length + len(infos), alignment, request)
    padding = encode_entry(pad_key, "str", " " * pad_length)
    raw = b"".join(chain((start,), bodies, (padding, infos)))
    end = -(-len(raw) // alignment) * alignment
    return FileHeader(
        raw.ljust(end, b"\0"),
        tuple(_list_patches(entries, bodies, len(start))),
        (before, pad_length) if first else (0, 0),
    )


def _find_padding(length: int, alignment: int, request: HeaderRequest) -> int:
    """How many bytes to add to a header of `length` bytes so that its tensors start where the request says."""
    start = -(-length // alignment) * alignment
    residue = request.residue // alignment * alignment
    return (residue - start) % request.step if request.step else residue - start


def _split_entries(request: HeaderRequest, tensor_count: int) -> Sequence[MetadataEntry]:
    if request.count == 1:
        return ()
    return (
        MetadataEntry("split.no", "u16", request.number),
        MetadataEntry("split.count", "u16", request.count),
        MetadataEntry("split.tensors.count", "i32", tensor_count),
    )


def _list_patches(entries: Sequence[MetadataEntry], bodies: Sequence[bytes], at: int) -> Sequence[Patch]:
    patches = []
    for entry, body in zip(entries, bodies, strict=True):
        if entry.source:
            patches.append(Patch(at, entry.source))
        at += len(body)
    return patches
