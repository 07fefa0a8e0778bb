"""Reads the header of a GGUF file from front to back through a small window, so that long lists need no memory."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from stacker.errors import DonorError, Mark

ReadAt = Callable[[int, int], bytes]
"""Returns `count` bytes of a file from `offset` on; fewer at the end of the file."""
WINDOW = 1 << 20
MAX_HEADER_BYTES = 512_000_000
"""The longest accepted header; those of models with 260,000 tokens have about 15 MB."""
_LENGTH = struct.Struct("<Q")


class Cursor:
    """A place in a file that moves forward; methods raise a DonorError where the file ends too early."""

    def __init__(self, read: ReadAt, file_size: int, where: str) -> None:
        self.where = where
        self._read = read
        self._size = min(file_size, MAX_HEADER_BYTES)
        self._window = b""
        self._start = 0  # of the window, in the file
        self._at = 0  # in the window
        self._hash = hashlib.sha256()

    @property
    def position(self) -> int:
        """The offset in the file of the next byte."""
        return self._start + self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        self._fill(count)
        data = self._window[self._at : self._at + count]
        self._at += count
        return data

    def unpack(self, form: str) -> tuple[Any, ...]:
        """The next little-endian values, by the format characters of the module struct."""
        form = f"<{form}"
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def peek(self, form: str) -> tuple[Any, ...]:
        """The values that `unpack` would return, without moving."""
        form = f"<{form}"
        count = struct.calcsize(form)
        self._fill(count)
        return struct.unpack_from(form, self._window, self._at)

    def skip(self, count: int) -> None:
        """Move forward by `count` bytes."""
        while count:
            step = min(count, WINDOW)
            self._fill(step)
            self._at += step
            count -= step

    def skip_texts(self, count: int) -> None:
        """Move past `count` texts, each of which follows its length."""
        unpack = _LENGTH.unpack_from
        while count:
            window, at, end = self._window, self._at, len(self._window)
            while count and at + 8 <= end:
                after = at + 8 + unpack(window, at)[0]
                if after > end:
                    break
                at = after
                count -= 1
            self._at = at
            if count:
                (length,) = self.unpack("Q")
                self.skip(length)
                count -= 1

    def digest(self) -> str:
        """The SHA-256, in hex, of all bytes before the place."""
        whole = self._hash.copy()
        whole.update(memoryview(self._window)[: self._at])
        return whole.hexdigest()

    def _fill(self, count: int) -> None:
        """Read until the window has `count` bytes from the place on."""
        if self._at + count <= len(self._window):
            return
        if self.position + count > self._size:
            hint = "the file is damaged or its download was cut off: fetch it again"
            raise DonorError.of(f"the header does not end within {self._size:,} bytes", hint, Mark(self.where))
        kept = self._window[self._at :]
        self._hash.update(memoryview(self._window)[: self._at])
        self._start += self._at
        self._at = 0
        need = max(count - len(kept), min(WINDOW, self._size - self._start - len(kept)))
        more = self._read(self._start + len(kept), need)
        self._window = kept + more
        if len(self._window) < count:
            hint = "the file is damaged or its download was cut off: fetch it again"
            raise DonorError.of(
                f"the file ends after {self._start + len(self._window):,} bytes", hint, Mark(self.where)
            )
