"""Reads ranges of an object in storage. Every response must be about the version of the object that was opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacker.errors import DonorError, Mark, StackerError, escape_text
from stacker.formats.safetensors import RemoteStamp
from stacker.io.storage.stores import explain_storage_error, is_transient, open_store, split_address

_PIECE = 1 << 18


class WrongRangeError(Exception):
    """A response is not the range that was asked for."""


@dataclass(slots=True)
class StoredFile:
    """One version of an object; see RemoteFile."""

    address: str
    stamp: RemoteStamp = field(default_factory=lambda: RemoteStamp("", 0))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def source(self) -> str:
        return self.address

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        from obstore import exceptions

        folder, name = split_address(self.address)
        options: dict[str, Any] = {"range": (begin, end)}
        if self.stamp.etag.startswith('"'):
            options["if_match"] = self.stamp.etag
        try:
            response = open_store(folder).get(name, options=options)
        except exceptions.PreconditionError as error:
            raise self._make_changed_error("the server has another version of it") from error
        self._check_version(read_stamp(response.meta))
        if tuple(response.range) != (begin, min(end, self.stamp.size)):
            raise WrongRangeError
        left = response.range[1] - begin
        for piece in response.stream(min_chunk_size=_PIECE):
            left -= len(piece)
            if left < 0:
                raise WrongRangeError
            yield bytes(piece)

    def _check_version(self, found: RemoteStamp) -> None:
        with self.lock:
            if self.stamp.size and found != self.stamp:
                raise self._make_changed_error(f"it was {_show(self.stamp)} and is {_show(found)}")
            self.stamp = found

    def _make_changed_error(self, change: str) -> DonorError:
        message = f"the donor's file changed in storage while it was read: {change}"
        return DonorError.of(message, "build again", Mark(self.address))

    def find_pause(self, error: Exception) -> float | None:
        return 0.0 if isinstance(error, WrongRangeError) or is_transient(error) else None

    def explain(self, error: Exception) -> StackerError:
        if isinstance(error, WrongRangeError):
            message = "the server does not send the ranges of this file that it is asked for"
            return DonorError.of(message, "copy the donor to this machine", Mark(self.address))
        return explain_storage_error(error, self.address)


def open_stored_file(address: str) -> StoredFile:
    """The object at an address; nothing is requested yet."""
    return StoredFile(address)


def read_stamp(meta: Mapping[str, Any]) -> RemoteStamp:
    """The version of an object that a response states: its ETag, or else the time of its last change, and its size."""
    return RemoteStamp(str(meta["e_tag"] or meta["last_modified"]), int(meta["size"]))


def _show(stamp: RemoteStamp) -> str:
    return f"{escape_text(stamp.etag)} of {stamp.size:,} bytes"
