"""The cache of open files: opened once, closed when idle, settled before they make room for others."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from functools import partial

import pytest

from stacker.io.disk.open_files import FileCache


class _Files:
    """A cache of letters in place of files, and what it did with them."""

    def __init__(self, most: int, settles: bool = True) -> None:
        self.events: list[str] = []
        self.settles = settles
        self.cache: FileCache[str] = FileCache(
            lambda name: self.events.append(f"close {name}"), most, settle=self._settle
        )

    def _settle(self, name: str, _file: str) -> None:
        if not self.settles:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.events.append(f"settle {name}")

    def open(self, name: str) -> str:
        self.events.append(f"open {name}")
        return name

    def use(self, *names: str) -> None:
        for name in names:
            with self.cache.lease(name, partial(self.open, name)):
                pass


def test_the_least_recently_used_file_makes_room() -> None:
    """A file is opened once while it stays open, and settled before it is closed to make room."""
    files = _Files(2)
    files.use("a", "b", "a", "c")
    assert files.events == ["open a", "open b", "settle b", "close b", "open c"]


def test_a_file_that_cannot_be_settled_stays_open() -> None:
    """An error of `settle` is raised, and the file is not closed: its bytes may not be durable."""
    files = _Files(1, settles=False)
    files.use("a")
    with pytest.raises(OSError, match="Input/output error"):
        files.use("b")
    assert files.events == ["open a"]
    assert len(files.cache) == 1


def test_only_idle_files_of_the_given_names_are_closed() -> None:
    """`close_idle` with names closes one of them that is not in use."""
    files = _Files(9)
    files.use("a", "b")
    with files.cache.lease("c", partial(files.open, "c")):
        assert files.cache.close_idle(["c", "b", "x"])
        assert not files.cache.close_idle(["c", "b", "x"])
    assert files.events[-2:] == ["settle b", "close b"]


def test_all_open_files_are_leased_together() -> None:
    """No file is closed while `lease_all` lasts."""
    files = _Files(9)
    files.use("a", "b")
    with files.cache.lease_all() as leased:
        assert leased == {"a": "a", "b": "b"}
        assert not files.cache.close_idle()
    assert files.cache.close_idle()


def test_a_cache_of_the_group_gives_up_idle_files() -> None:
    """When the process has no descriptor left, an idle file of another cache in the group is closed."""
    idle = _Files(9)
    idle.use("a", "b")
    wanting: FileCache[str] = FileCache(lambda _: None, 9, group=idle.cache.group)

    def open_file() -> str:
        if len(idle.cache) > 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return "c"

    with closing(wanting), wanting.lease("c", open_file) as file:
        assert file == "c"
    assert idle.events[2:] == ["settle a", "close a", "settle b", "close b"]


def test_without_idle_files_the_limit_is_an_error() -> None:
    """EMFILE is raised when no file of the group is idle."""

    def open_file() -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    files = _Files(9)
    with (
        files.cache.lease("a", partial(files.open, "a")),
        pytest.raises(OSError, match="Too many open files"),
        files.cache.lease("b", open_file),
    ):
        pass
    assert files.events == ["open a"]
