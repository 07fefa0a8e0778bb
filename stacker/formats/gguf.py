"""Parses headers of GGUF files strictly, by reading them piece by piece, and makes the bytes of new headers.

A GGUF file has a list of key-value pairs (its metadata), a list of tensors, and the tensors' bytes. Lists of tokens are
skipped, not read into memory: only the places of their bytes are kept, so that they can be copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NoReturn

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.ggml_types import GGML_TYPES, find_type_number, make_unknown_type
from stacker.formats.gguf_cursor import Cursor, ReadAt
from stacker.formats.json_object import Json
from stacker.formats.safetensors import MAX_TENSORS, Header, StoredTensor
from stacker.tensors import Dtype, TensorSpec

MAGIC = b"GGUF"
ALIGNMENT = 32
"""The alignment of tensors in a file that states none, in bytes."""
ALIGNMENT_KEY = "general.alignment"
_VERSIONS = (2, 3)
_MAX_ENTRIES = 65_536
_MAX_KEPT = 10_000
"""The longest lists of numbers whose values are kept; per-layer lists are much shorter."""
_MAX_KEPT_TEXTS = 64
_MAX_TEXT = 1 << 20
_MAX_KEY = 65_535
_MAX_NAME = 63
_MAX_DIMENSIONS = 4
_MAX_ELEMENTS = 1 << 62
_MAX_ALIGNMENT = 1 << 20

_SCALARS = {
    0: ("u8", "B"), 1: ("i8", "b"), 2: ("u16", "H"), 3: ("i16", "h"), 4: ("u32", "I"), 5: ("i32", "i"),
    6: ("f32", "f"), 7: ("bool", "?"), 10: ("u64", "Q"), 11: ("i64", "q"), 12: ("f64", "d"),
}  # fmt: skip
_TEXT, _LIST = 8, 9
_CODES = {name: (number, code) for number, (name, code) in _SCALARS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key-value pair of the metadata; its bytes are [begin, begin + nbytes) of the file.

    `kind` is the type of the value: `u32`, `f32`, `bool`, `str` and so on, in brackets for a list. `value` is None if
    it was skipped because it is long, and `count` the number of items of a list.
    """

    key: str
    kind: str
    value: Json
    begin: int = 0
    nbytes: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class GgufHeader(Header):
    """The parsed header of a GGUF file, with the entries of its metadata; tensors start at multiples of `alignment`."""

    entries: tuple[Entry, ...] = field(default=(), repr=False)
    alignment: int = ALIGNMENT


def parse_gguf_header(read: ReadAt, file_size: int, where: str) -> GgufHeader:
    """Parse the header of a GGUF file of `file_size` bytes; `read(offset, count)` returns bytes of it.

    DonorError, which calls the file `where`, if the header is not valid or does not fit the file.
    """
    cursor = Cursor(read, file_size, where)
    tensor_count, entry_count = _parse_start(cursor)
    entries = tuple(_parse_entries(cursor, entry_count))
    alignment = _find_alignment(entries, where)
    infos = [_parse_info(cursor, where) for _ in range(tensor_count)]
    if len({name for name, *_ in infos}) != len(infos):
        refuse(where, "two tensors have the same name")
    data_start = _pad(cursor.position, alignment)
    cursor.skip(min(data_start, file_size) - cursor.position)
    if data_start > file_size and infos:
        refuse(where, "the file ends before its tensors")
    tensors = tuple(_place_tensors(infos, min(data_start, file_size), file_size, alignment, where))
    return GgufHeader(tensors, cursor.position, file_size, cursor.digest(), {}, None, entries, alignment)


def refuse(where: str, message: str, hint: str = "the file is damaged: fetch it again") -> NoReturn:
    """Raise a DonorError about the file `where`."""
    raise DonorError.of(message, hint, Mark(where))


def _parse_start(cursor: Cursor) -> tuple[int, int]:
    """Parse the first 24 bytes of a file; returns the numbers of tensors and of entries."""
    where = cursor.where
    magic = cursor.take(4)
    if magic != MAGIC:
        refuse(where, "this is not a GGUF file: it does not begin with 'GGUF'", "fetch the file again")
    (version,) = cursor.unpack("I")
    if version not in _VERSIONS:
        swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big")
        what = "for big-endian machines" if swapped in _VERSIONS else f"of GGUF version {version}"
        refuse(where, f"this file is {what}", "stacker reads little-endian files of versions 2 and 3")
    tensors, entries = cursor.unpack("QQ")
    if tensors > MAX_TENSORS or entries > _MAX_ENTRIES:
        refuse(where, f"the header claims {tensors} tensors and {entries} metadata entries")
    return tensors, entries


def _parse_entries(cursor: Cursor, count: int) -> Iterator[Entry]:
    keys: set[str] = set()
    for _ in range(count):
        begin = cursor.position
        key = _take_text(cursor, _MAX_KEY, "a key")
        if key in keys or not key:
            refuse(cursor.where, f"the key '{escape_text(key)}' appears twice" if key else "a key is empty")
        keys.add(key)
        (number,) = cursor.unpack("I")
        kind, value, items = _take_value(cursor, number, key)
        yield Entry(key, kind, value, begin, cursor.position - begin, items)


def _take_text(cursor: Cursor, limit: int, what: str) -> str:
    (length,) = cursor.unpack("Q")
    if length > limit:
        refuse(cursor.where, f"{what} has {length} bytes; stacker reads at most {limit}")
    try:
        return cursor.take(length).decode()
    except UnicodeDecodeError:
        refuse(cursor.where, f"{what} is not UTF-8")


def _take_value(cursor: Cursor, number: int, key: str) -> tuple[str, Json, int]:
    """Read a value of the type `number`; returns its kind, the value (None if skipped) and its number of items."""
    if number in _SCALARS:
        kind, code = _SCALARS[number]
        if code == "?":
            return kind, _read_flags(cursor, 1)[0], 0
        return kind, cursor.unpack(code)[0], 0
    if number == _TEXT:
        (length,) = cursor.peek("Q")
        if length > _MAX_TEXT:
            cursor.skip(8 + length)
            return "str", None, 0
        return "str", _take_text(cursor, _MAX_TEXT, f"'{escape_text(key)}'"), 0
    if number == _LIST:
        return _take_list(cursor, key)
    refuse(cursor.where, f"'{escape_text(key)}' has the unknown type {number}")


def _take_list(cursor: Cursor, key: str) -> tuple[str, Json, int]:
    number, count = cursor.unpack("IQ")
    if number == _TEXT:
        if count > _MAX_KEPT_TEXTS:
            cursor.skip_texts(count)
            return "[str]", None, count
        return "[str]", [_take_text(cursor, _MAX_TEXT, f"'{escape_text(key)}'") for _ in range(count)], count
    if number not in _SCALARS:
        refuse(cursor.where, f"'{escape_text(key)}' is a list of the unknown type {number}")
    kind, code = _SCALARS[number]
    if count > _MAX_KEPT:
        cursor.skip(count * struct.calcsize(code))
        return f"[{kind}]", None, count
    if code == "?":
        return f"[{kind}]", list(_read_flags(cursor, count)), count
    return f"[{kind}]", list(cursor.unpack(f"{count}{code}")), count


def _read_flags(cursor: Cursor, count: int) -> list[bool]:
    data = cursor.take(count)
    if data.translate(None, b"\0\1"):
        refuse(cursor.where, "a yes or no of the metadata is neither 0 nor 1")
    return [byte == 1 for byte in data]


def _find_alignment(entries: Sequence[Entry], where: str) -> int:
    found = next((entry for entry in entries if entry.key == ALIGNMENT_KEY), None)
    if found is None:
        return ALIGNMENT
    value = found.value
    if found.kind != "u32" or not isinstance(value, int) or value < 8 or value & (value - 1) or value > _MAX_ALIGNMENT:
        refuse(where, f"{ALIGNMENT_KEY} is {escape_text(str(value))}, not a power of two from 8 to {_MAX_ALIGNMENT}")
    return value


_Info = tuple[str, tuple[int, ...], int, int]
"""Name, shape (the longest stride first), type number and offset of a tensor."""


def _parse_info(cursor: Cursor, where: str) -> _Info:
    name = _take_text(cursor, _MAX_NAME, "the name of a tensor")
    (rank,) = cursor.unpack("I")
    if rank > _MAX_DIMENSIONS:
        refuse(where, f"tensor '{escape_text(name)}' has {rank} dimensions; GGUF has at most {_MAX_DIMENSIONS}")
    sizes = cursor.unpack(f"{rank}Q")
    number, offset = cursor.unpack("IQ")
    elements = 1
    for size in sizes:
        elements *= size
    if elements >= _MAX_ELEMENTS:
        refuse(where, f"tensor '{escape_text(name)}' has {elements} elements")
    return name, tuple(reversed(sizes)), number, offset


def _place_tensors(
    infos: Sequence[_Info], data_start: int, file_size: int, alignment: int, where: str
) -> Iterator[StoredTensor]:
    """Yield the tensors of a file, whose offsets must follow one another without a gap; sizes of unknown types are
    taken from the offsets.
    """  # fmt: skip
    expected = 0
    ends = [*(offset for *_, offset in infos), file_size - data_start][1:]
    for (name, shape, number, offset), end in zip(infos, ends, strict=True):
        shown = f"tensor '{escape_text(name)}'"
        if offset != expected:
            refuse(where, f"{shown} begins at {offset}, not at {expected}, where the tensor before it ends")
        dtype = GGML_TYPES.get(number) or _size_unknown(number, shape, end - offset, where)
        spec = TensorSpec(name, dtype, shape)
        if number in GGML_TYPES and spec.row % dtype.block:
            refuse(where, f"{shown} has rows of {spec.row} elements, which are not whole blocks of {dtype.label}")
        if offset + spec.nbytes > file_size - data_start:
            missing = offset + spec.nbytes - (file_size - data_start)
            hint = "its download was cut off: fetch it again"
            refuse(where, f"the file ends {missing} bytes before {shown} ends", hint)
        expected = _pad(offset + spec.nbytes, alignment)
        yield StoredTensor(spec, data_start + offset, spec.nbytes)


def _size_unknown(number: int, shape: tuple[int, ...], nbytes: int, where: str) -> Dtype:
    elements = 1
    for size in shape:
        elements *= size
    if nbytes <= 0 or not elements:
        refuse(where, f"the size of a tensor of the unknown type {number} cannot be told from the offsets")
    return make_unknown_type(number, elements, nbytes)


def _pad(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def pad_offsets(sizes: Iterable[int], alignment: int) -> list[int]:
    """The offsets of tensors of `sizes` bytes that follow one another, then the end of the last, all aligned."""
    offsets = [0]
    for size in sizes:
        offsets.append(_pad(offsets[-1] + size, alignment))
    return offsets


def encode_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def encode_entry(key: str, kind: str, value: Any) -> bytes:
    """The bytes of a metadata entry; struct.error if the value does not fit its kind."""
    start = encode_text(key)
    if not kind.startswith("["):
        return start + struct.pack("<I", _number_of(kind)) + _encode_value(kind, value)
    inner = kind[1:-1]
    items = b"".join(_encode_value(inner, each) for each in value)
    return start + struct.pack("<IIQ", _LIST, _number_of(inner), len(value)) + items


def _number_of(kind: str) -> int:
    return _TEXT if kind == "str" else _CODES[kind][0]


def _encode_value(kind: str, value: Any) -> bytes:
    return encode_text(value) if kind == "str" else struct.pack(f"<{_CODES[kind][1]}", value)


def encode_start(tensor_count: int, entry_count: int) -> bytes:
    """The first bytes of a file, before its metadata."""
    return MAGIC + struct.pack("<IQQ", _VERSIONS[-1], tensor_count, entry_count)


def encode_infos(tensors: Sequence[TensorSpec], alignment: int) -> bytes:
    """The list of tensors, which follows the metadata; ValueError for a type that GGUF does not have."""
    offsets = pad_offsets([tensor.nbytes for tensor in tensors], alignment)
    parts = []
    for tensor, (offset, _) in zip(tensors, pairwise(offsets), strict=True):
        number = find_type_number(tensor.dtype)
        if number is None:
            raise ValueError(f"GGUF has no type {tensor.dtype.label}")
        sizes = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        parts.append(encode_text(tensor.name) + sizes + struct.pack("<IQ", number, offset))
    return b"".join(parts)
