"""Describes the metadata of a GGUF file: entries that are stated here, and entries whose bytes a donor's file has."""

from __future__ import annotations

from dataclasses import dataclass

from stacker.formats.json_object import Json


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Bytes [begin, begin + nbytes) of the first file of the donor called `donor`: a whole metadata entry."""

    donor: str
    begin: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """An entry of a GGUF file's metadata; `kind` is the type of its value, as in `formats.gguf.Entry`.

    If `source` is not None, the entry is copied from there, and `value` may be None because it is long. `count` is the
    number of items of a list.
    """

    key: str
    kind: str
    value: Json
    source: Borrowed | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes of a header that are zeros in the plan: at byte `at`, the metadata entry `source` of a donor."""

    at: int
    source: Borrowed
