"""Defines what a server must offer so that donors' files can be read from it by ranges of bytes.

To add a kind of server, write a class with these methods, and a row in `openers`. Repeating requests, several requests
at once, reading ahead and limits of time are not its concern.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from stacker.errors import StackerError
from stacker.formats.safetensors import RemoteStamp


class RemoteFile(Protocol):
    """One version of a file on a server; several threads read it at once.

    `stamp` is the version that the server named in its first response, and `source` names the file in messages.
    """

    @property
    def source(self) -> str: ...

    @property
    def stamp(self) -> RemoteStamp: ...

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [begin, end) of the file in order, in pieces of any size, by one request.

        DonorError when the file is no longer the version `stamp`. Any other exception may be raised when the request
        fails. No wait for the server's next bytes is longer than about ten seconds.
        """
        ...

    def find_pause(self, error: Exception) -> float | None:
        """How many seconds to wait at least before a failed request is repeated; None if that would not help."""
        ...

    def explain(self, error: Exception) -> StackerError:
        """Make the error that tells the user why reading failed, and what to do."""
        ...
