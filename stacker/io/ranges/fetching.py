"""Reads a range of a file on a server to its end, although requests fail: what arrived is kept, the rest asked for.

Every wait is limited: each request may take a time that depends on its bytes, and failures in a row are counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from stacker.errors import DonorError, Mark, StackerError
from stacker.io.ranges.remote_file import RemoteFile

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each repetition of a request after failures in a row."""
LONGEST_PAUSE = 60.0
"""The most seconds that are waited because a server asks for it."""
GRACE = 30.0
SLOWEST = 50_000
"""A request may take GRACE seconds, and one more for every SLOWEST bytes."""
_PROGRESS = 1 << 18
"""A request that brought so many bytes before it failed is not a failure in a row."""


_HINT = "try again later, and the same command goes on; or build without --stream, which downloads whole files first"


class _IncompleteError(Exception):
    """A response ended early, or took too long although bytes kept arriving."""


def fetch_range(remote: RemoteFile, begin: int, end: int, stop: threading.Event) -> Iterator[bytes]:
    """Yield the bytes [begin, end) of a file in order, in pieces of any size.

    DonorError when the server fails again and again, when the file has changed, or when `stop` is set meanwhile.
    """
    failures = 0
    while begin < end:
        start = begin
        error: Exception = _IncompleteError("its responses end early")
        try:
            for data in _limit_time(remote.read(begin, end), end - begin, stop):
                begin += len(data)
                yield data
        except StackerError:
            raise
        except Exception as failed:
            error = failed
        if begin < end:
            failures = 1 if begin - start >= _PROGRESS else failures + 1
            _wait(remote, error, failures, stop)


def _limit_time(pieces: Iterator[bytes], nbytes: int, stop: threading.Event) -> Iterator[bytes]:
    deadline = time.monotonic() + GRACE + nbytes / SLOWEST
    for data in pieces:
        _check_stop(stop)
        if time.monotonic() > deadline:
            raise _IncompleteError(f"it sends fewer than {SLOWEST // 1000} kB in a second")
        yield data


def _wait(remote: RemoteFile, error: Exception, failures: int, stop: threading.Event) -> None:
    """Wait before a failed request is repeated; raises the error for the user if it should not be repeated."""
    incomplete = isinstance(error, _IncompleteError)
    asked = 0.0 if incomplete else remote.find_pause(error)
    if asked is None or failures > len(PAUSES):
        if incomplete:
            raise DonorError.of(f"the server fails again and again: {error}", _HINT, Mark(remote.source)) from error
        raise remote.explain(error) from error
    stop.wait(min(max(asked, PAUSES[failures - 1]), LONGEST_PAUSE))
    _check_stop(stop)


def _check_stop(stop: threading.Event) -> None:
    if stop.is_set():
        raise DonorError.of("reading was stopped")
