"""Donor files, open for reading: few at a time, shared by all workers, and each the file that was planned with."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stacker.core.values.donor import DonorFile
from stacker.errors import DonorError, Mark
from stacker.formats.safetensors import parse_header_length
from stacker.io.files.regular_files import open_regular, read_exactly

_MOST_OPEN = 64
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


@dataclass(slots=True)
class _Opened:
    fd: int
    users: int = 0


class OpenFiles:
    """A cache of descriptors. `lease` may be called from any thread; what is on lease is never closed."""

    def __init__(self, most: int = _MOST_OPEN) -> None:
        self._most = most
        self._open: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lease(self, file: DonorFile) -> Iterator[int]:
        """A descriptor of a donor's file; DonorError when it cannot be opened or is not what it was."""
        path = str(file.path)
        with self._lock:
            opened = self._open.get(path) or self._opened(path, file)
            self._open.move_to_end(path)
            opened.users += 1
        try:
            yield opened.fd
        finally:
            with self._lock:
                opened.users -= 1

    def _opened(self, path: str, file: DonorFile) -> _Opened:
        while len(self._open) >= self._most and self._drop_idle():
            pass
        opened = _Opened(self._fd(Path(path)))
        try:
            _check(opened.fd, file)
        except BaseException:
            os.close(opened.fd)
            raise
        self._open[path] = opened
        return opened

    def _fd(self, path: Path) -> int:
        """A new descriptor, at the price of idle ones when the process may have no more."""
        while True:
            try:
                return open_regular(path)
            except DonorError as error:
                cause = error.__cause__
                if not (isinstance(cause, OSError) and cause.errno in _TOO_MANY and self._drop_idle()):
                    raise

    def _drop_idle(self) -> bool:
        """Close the descriptor that has not been wanted for longest; False when all are on lease."""
        for path, opened in self._open.items():
            if not opened.users:
                os.close(self._open.pop(path).fd)
                return True
        return False

    def close(self) -> None:
        """Close every descriptor; nothing may be on lease."""
        while self._drop_idle():
            pass


def _check(fd: int, file: DonorFile) -> None:
    """DonorError unless the open file has the size, time and header that the plan was made with."""
    path = Path(str(file.path))
    status = os.fstat(fd)
    if status.st_size != file.size:
        raise _changed(file, f"it has {status.st_size:,} bytes, not {file.size:,}")
    if file.mtime is not None and status.st_mtime_ns != file.mtime:
        raise _changed(file, "it was written to")
    length = parse_header_length(read_exactly(fd, min(64, file.size), 0, path), file.size, str(path))
    if hashlib.sha256(read_exactly(fd, length, 0, path)).hexdigest() != file.header:
        raise _changed(file, "its header is another")


def check_unchanged(files: Iterable[DonorFile]) -> None:
    """DonorError when a file was replaced or written to while it was read."""
    for file in dict.fromkeys(files):
        try:
            status = Path(str(file.path)).stat()
        except OSError as error:
            raise _changed(file, f"it is gone: {error.strerror}") from error
        if status.st_size != file.size or file.mtime not in (None, status.st_mtime_ns):
            raise _changed(file, "it was written to")


def _changed(file: DonorFile, how: str) -> DonorError:
    hint = "leave donors alone while a build reads them, then start the build again"
    return DonorError.of(f"the donor's file changed since it was planned: {how}", hint, Mark(str(file.path)))
