"""Keeps files open that several threads share, and closes unused files when other files have to be opened.

The files are donors' files, shards being written, and shards being verified.
"""

from __future__ import annotations

import resource
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stacker.errors import StackerError
from stacker.io.disk.storage import OUT_OF_DESCRIPTORS

File = TypeVar("File")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Entry(Generic[File]):
    file: File
    users: int = 0


def _do_nothing(name: str, file: object) -> None:
    del name, file


class FileCache(Generic[File]):
    """Keeps files open, by name: at most `most` files, unless threads use more files at once.

    The least recently used idle file is closed first: `settle`, which may sync the file, is called with the file's
    name and the file, and then `close` with the file. When the process has too many files open, an unused file is
    closed in one of the caches in `group`.
    """

    def __init__(
        self,
        close: Callable[[File], None],
        most: int,
        *,
        settle: Callable[[str, File], None] = _do_nothing,
        group: list[FileCache[Any]] | None = None,
    ) -> None:
        self._close_file = close
        self._settle = settle
        self._most = most
        self._entries: OrderedDict[str, _Entry[File]] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self.group: list[FileCache[Any]] = [] if group is None else group
        self.group.append(self)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def lease(self, name: str, open_file: Callable[[], File]) -> Iterator[File]:
        """Yield the open file `name`, and keep the file open until the `with` block ends.

        `open_file` is called to open the file if it is not open yet.
        """
        entry = self._use(name) or self._open(name, open_file)
        try:
            yield entry.file
        finally:
            with self._lock:
                entry.users -= 1

    @contextmanager
    def lease_all(self) -> Iterator[dict[str, File]]:
        """Yield a dict of all files that are open now, by name.

        These files stay open until the `with` block ends.
        """
        with self._lock:
            entries = dict(self._entries)
            for entry in entries.values():
                entry.users += 1
        try:
            yield {name: entry.file for name, entry in entries.items()}
        finally:
            with self._lock:
                for entry in entries.values():
                    entry.users -= 1

    def _use(self, name: str) -> _Entry[File] | None:
        """Count one more user of the file `name` and return its entry; None when the file is not open."""
        with self._lock:
            entry = self._entries.get(name)
            if entry:
                entry.users += 1
                self._entries.move_to_end(name)
            return entry

    def _open(self, name: str, open_file: Callable[[], File]) -> _Entry[File]:
        """Open the file `name`, unless another thread just did, and return its entry with one more user counted.

        Meanwhile, other threads can lease files that are already open.
        """
        with self._opening:
            entry = self._use(name)  # another thread may have opened it meanwhile
            if entry is None:
                while len(self._entries) >= self._most and self.close_idle():
                    pass
                entry = _Entry(self.retry(open_file), users=1)
                with self._lock:
                    self._entries[name] = entry
            return entry

    def retry(self, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` and return its result.

        If the process has too many files open, close one unused file in the caches of the group and call `attempt`
        again; when no file is unused, the error is raised.
        """
        while True:
            try:
                return attempt()
            except (OSError, StackerError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                wanting = isinstance(cause, OSError) and cause.errno in OUT_OF_DESCRIPTORS
                if not wanting or not any(cache.close_idle() for cache in self.group):
                    raise

    def close_idle(self, names: Iterable[str] | None = None) -> bool:
        """Close one file that no thread uses and return True, or return False if there is no such file.

        The cache's `settle` function is called for the file first; if `names` is given, only files with these names are
        considered.
        """
        with self._lock:
            for name in self._entries if names is None else names:
                entry = self._entries.get(name)
                if entry and not entry.users:
                    self._settle(name, entry.file)
                    del self._entries[name]
                    self._close_file(entry.file)
                    return True
            return False

    def close(self) -> None:
        """Close every file without calling `settle`; call this method only when no thread uses a file."""
        with self._lock:
            while self._entries:
                self._close_file(self._entries.popitem()[1].file)


def limit_open_files(most: int, descriptors: int = 1) -> int:
    """How many files one cache may keep open: at most `most`, and at least 1.

    The open files may use a quarter of the descriptors that the process may have open; `descriptors` is how many
    descriptors each file uses.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if limit == resource.RLIM_INFINITY else max(1, min(most, limit // 4 // descriptors))
