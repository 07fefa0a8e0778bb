"""Parses headers of safetensors files strictly, into tensors and their byte ranges, and makes headers for new files.

The reference library is less strict: it accepts files that can be read in two ways (duplicate names, unknown fields).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.garbage_collector import pause_collector
from stacker.tensors import DTYPES, TensorSpec

MAX_HEADER_BYTES = 64_000_000
"""The longest accepted header in bytes: ten times the header of a file with 70,000 tensors.

The format allows 100 MB.
"""
MAX_TENSORS = 150_000
MAX_RANK = 64
_U64 = 1 << 64
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})
_OTHER_FORMATS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull` in the donor's folder"),
    (b"<", "a web page (HTML or XML), not a safetensors file", "download the file again, signed in if it is gated"),
    (b"PK\x03\x04", "a zip archive (a PyTorch pickle?), not a safetensors file", "convert it to safetensors first"),
    (b"\x80\x02", "a Python pickle, not a safetensors file", "convert it to safetensors first"),
    (b"GGUF", "a GGUF file, not a safetensors file", "dequantise it into a safetensors folder first"),
)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file; the tensor's bytes are [begin, begin + nbytes), counted from the start of the file."""

    spec: TensorSpec
    begin: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class FileStamp:
    """The version of a file, as its filesystem tells it; every write to the file or to its attributes changes `ctime`.

    `inode` is the file's number in its filesystem. `mtime` (last change of the content) and `ctime` are in nanoseconds;
    programs can set `mtime`, but not `ctime`.
    """

    inode: int
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True)
class RemoteStamp:
    """The version of a file on a server: its ETag (or the date of its last change, or ""), and its size in bytes."""

    etag: str
    size: int


Stamp = FileStamp | RemoteStamp
"""The version of a file, on this machine or on a server."""


@dataclass(frozen=True, slots=True)
class Header:
    """The parsed header of a safetensors file of `size` bytes, with the file's tensors in byte order.

    The tensors' data are the bytes [data_start, size) of the file, and `digest` is the SHA-256 of all bytes before
    `data_start`. `stamp` is the version of the file that was read, or None if the file is not on this machine.
    """

    tensors: tuple[StoredTensor, ...] = field(repr=False)
    data_start: int
    size: int
    digest: str
    metadata: Mapping[str, str]
    stamp: FileStamp | None = field(default=None, compare=False)


def parse_header_length(first: bytes, file_size: int, where: str) -> int:
    """How many bytes precede the tensor data in a file of `file_size` bytes, according to its `first` 8 bytes.

    DonorError when that is more than the file has or stacker accepts; with 64 bytes in `first`, the error can also say
    that the file is a pickle, a GGUF file or a web page.
    """
    if file_size < 8 or len(first) < 8:
        _refuse(where, f"the file has {file_size} bytes; a safetensors file has at least 10", _FETCH_AGAIN)
    length = int.from_bytes(first[:8], "little")
    if 8 + length > file_size:
        _refuse_other_format(first, where)
        _refuse(where, f"the header claims {length} bytes, but the file has only {file_size}", _FETCH_AGAIN)
    if length > MAX_HEADER_BYTES:
        _refuse(where, f"the header has {length} bytes; stacker reads at most {MAX_HEADER_BYTES}")
    return 8 + length


def _refuse_other_format(first: bytes, where: str) -> None:
    """Raise a DonorError if the first bytes of a file show that it has another known format, such as GGUF or zip."""
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, what, advice in _OTHER_FORMATS:
        if start.startswith(magic):
            _refuse(where, f"this is {what}", advice)


@pause_collector()
def parse_header(raw: bytes, file_size: int, where: str) -> Header:
    """Parse a header; `raw` is all bytes before the tensor data, including the length field.

    Raises a DonorError that calls the file `where` if the header is not valid, or does not fit a file of `file_size`
    bytes.
    """
    if len(raw) != parse_header_length(raw, file_size, where):
        _refuse(where, f"the header was cut off after {len(raw)} bytes", _FETCH_AGAIN)
    table = _load_json(raw, where)
    metadata = _check_metadata(table.pop("__metadata__", {}), where)
    if len(table) > MAX_TENSORS:
        _refuse(where, f"the header names {len(table)} tensors; stacker reads at most {MAX_TENSORS}")
    tensors = sorted((_parse_tensor(name, table[name], where) for name in table), key=lambda t: (t.begin, t.nbytes))
    _check_contiguous(tensors, file_size - len(raw), where)
    placed = tuple(StoredTensor(tensor.spec, tensor.begin + len(raw), tensor.nbytes) for tensor in tensors)
    return Header(placed, len(raw), file_size, hashlib.sha256(raw).hexdigest(), metadata)


_FETCH_AGAIN = "the file is damaged or its download was cut off: fetch it again"


def _refuse(where: str, message: str, hint: str = "") -> NoReturn:
    raise DonorError.of(message, hint, Mark(where))


def _load_json(raw: bytes, where: str) -> dict[str, Any]:
    """Parse the JSON of a header; DonorError when it is not an object, repeats a name, or has invalid Unicode."""
    if raw.count(b"{") + raw.count(b"[") > 4 * MAX_TENSORS or raw.count(b",") > 16 * MAX_TENSORS:
        _refuse(where, "the header is far larger than any list of tensors")
    parse_int = _parse_size if b"-" in raw else int  # int is ten times as fast
    try:
        text = str(memoryview(raw)[8:], "utf-8")
        table = json.loads(
            text,
            object_pairs_hook=_unique_dict,
            parse_int=parse_int,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        if "\\u" in text:
            json.dumps(table, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else escape_text(str(error), 200)
        raise DonorError.of(f"the header is not valid: {reason}", _FETCH_AGAIN, Mark(where)) from error
    if type(table) is not dict:
        _refuse(where, "the header is not a JSON object", _FETCH_AGAIN)
    return table


def _unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{escape_text(twice)}' appears twice")
    return table


def _parse_size(digits: str) -> int:
    if digits[0] == "-":
        raise ValueError(f"{escape_text(digits, 30)} is not a size")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{escape_text(text, 30)} is not a whole number")


def _check_metadata(value: Any, where: str) -> dict[str, str]:
    if type(value) is not dict or not all(type(text) is str for text in value.values()):
        _refuse(where, "__metadata__ is not an object of strings")
    return value


def _parse_tensor(name: str, fields: Any, where: str) -> StoredTensor:
    """Parse the header's entry for one tensor.

    `begin` of the result counts from the start of the tensor data, not from the start of the file.
    """
    if type(fields) is not dict or fields.keys() != _FIELDS:
        _refuse(where, f"tensor '{escape_text(name)}' must have dtype, shape and data_offsets, and nothing else")
    dtype = DTYPES.get(fields["dtype"]) if type(fields["dtype"]) is str else None
    if dtype is None:
        _refuse(where, f"tensor '{escape_text(name)}' has the unknown dtype {escape_text(str(fields['dtype']), 40)}")
    shape, offsets = fields["shape"], fields["data_offsets"]
    if not (_is_sizes(shape) and _is_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        _refuse(where, f"tensor '{escape_text(name)}' has a shape or data_offsets that are not sizes")
    if len(shape) > MAX_RANK:
        _refuse(where, f"tensor '{escape_text(name)}' has {len(shape)} dimensions; stacker reads at most {MAX_RANK}")
    begin, end = offsets
    if _count_bits(shape, dtype.bits) != (end - begin) * 8:
        what = f"'{escape_text(name)}' ({dtype.label} {escape_text(str(shape))})"
        _refuse(where, f"tensor {what} does not fill its {end - begin} bytes exactly")
    return StoredTensor(TensorSpec(name, dtype, tuple(shape)), begin, end - begin)


def _is_sizes(value: Any) -> bool:
    """Whether a value is a list of integers and contains no bools; the parser has already refused negative numbers."""
    return type(value) is list and [*map(type, value)].count(int) == len(value)


def _count_bits(shape: list[int], bits: int) -> int | None:
    """The size of a tensor in bits, or None if the size does not fit into 64 bits.

    The dimensions are multiplied in order: if the product gets too large before a dimension of 0, the result is
    None although the tensor is empty.
    """
    product = math.prod(shape) * bits
    if product:
        return product if product < _U64 else None
    for size in shape:
        bits *= size
        if max(bits, size) >= _U64:
            return None
    return 0


def _check_contiguous(tensors: list[StoredTensor], data_size: int, where: str) -> None:
    """Raise a DonorError unless the tensors, sorted by offset, cover all data bytes without a hole or an overlap."""
    end = 0
    for tensor in tensors:
        if tensor.begin != end:
            what = "overlaps the tensor before it" if tensor.begin < end else "leaves a hole before it"
            _refuse(where, f"tensor '{escape_text(tensor.spec.name)}' {what}: it begins at {tensor.begin}, not {end}")
        end += tensor.nbytes
    if end > data_size:
        _refuse(where, f"the tensors need {end} bytes of data, but the file has only {data_size}", _FETCH_AGAIN)
    if end < data_size:
        _refuse(where, f"the file has {data_size - end} bytes after its last tensor", _FETCH_AGAIN)


def make_header(
    tensors: Iterable[TensorSpec],
    *,
    residue: int = 0,
    step: int = 8,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Make the beginning of a safetensors file that stores `tensors` one after another: all bytes before the data.

    Spaces pad the JSON so that the data starts at an offset (in bytes) with the remainder `residue` modulo `step`, or
    exactly at `residue` if `step` is 0. `metadata` is stored beside the tensors.
    """
    table: dict[str, object] = {"__metadata__": {**metadata, "format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        table[tensor.name] = {
            "dtype": tensor.dtype.label,
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    padding = residue - 8 - len(text)
    length = len(text) + (padding % step if step else padding)
    return length.to_bytes(8, "little") + text.ljust(length)
