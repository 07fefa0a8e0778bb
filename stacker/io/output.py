"""The output folder: it appears whole or not at all.

Work happens in `OUT.partial` beside it, under a lock on that folder, with a journal of what is safely on the disk;
`commit` makes everything durable and renames. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stacker.errors import Mark, SpecError, StorageError
from stacker.io import journal
from stacker.io.journal import Journal, Record, read_journal
from stacker.io.lock import locked_folder
from stacker.io.replace import put_in_place
from stacker.io.storage import storage_error, writing

_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def open_output(out: Path, plan_id: str, summary: Mapping[str, str], *, force: bool, restart: bool) -> Iterator[Output]:
    """The folder to build `out` in, taken up where an earlier run of the same plan left it.

    `summary` says in a few words what the plan is (name, donors, layers), for when another plan meets this folder.
    `force` lets a folder that is already at `out` be replaced at the end; `restart` drops unfinished work. SpecError
    when `out` or another plan's work is in the way, LockedError when another run is at it, StorageError for the disk.
    Left without `commit`, the work stays for another run if any of it was recorded done, and is removed if none was.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link at OUT
    partial = out.with_name(out.name + ".partial") if out.name else out
    check_vacant(out, force=force)
    made = _make_parents(partial)
    with locked_folder(partial):
        check_vacant(out, force=force)
        record = _taken_up(partial, plan_id, summary, restart=restart)
        output = Output(out, partial, record, force=force)
        try:
            output.begin(plan_id, summary)
            yield output
        finally:
            output.close()
            if not output.committed and not output.safe:
                _remove(partial, made)


def check_vacant(out: Path, *, force: bool) -> None:
    """SpecError when `out` cannot become the output: no folder, or one with content and no `force`."""
    mark = Mark(str(out))
    if not out.name:
        raise SpecError.of("this cannot be the output folder", "name a folder that does not exist yet", mark)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        what = "a link" if out.is_symlink() else "a file"
        raise SpecError.of(f"the output is {what}", "name a folder that does not exist yet", mark)
    with writing(out, "look into the output folder"):
        if out.is_dir() and any(out.iterdir()) and not force:
            raise SpecError.of("the output folder exists", "--force replaces it, once the new one is complete", mark)


class Output:
    """An output being written. `folder` is where, `done` the tasks that earlier runs have safely behind them.

    Methods may be called from any thread and raise StorageError; after one has failed, nothing more is recorded.
    """

    def __init__(self, out: Path, folder: Path, record: Record, *, force: bool) -> None:
        self.folder = folder
        self.done = record.done
        self.safe = bool(record.done)
        self.committed = False
        self._out = out
        self._force = force
        self._keep = record.nbytes
        self._known = dict(record.shards)
        self._fds: dict[str, int] = {}
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._failed = False

    def begin(self, plan_id: str, summary: Mapping[str, str]) -> None:
        """Open the journal and say in it who writes now."""
        with self._must(journal.NAME):
            self._journal = Journal.open(self.folder, self._keep)
            plan = [] if self._keep else [{"plan": plan_id, "summary": dict(summary)}]
            self._journal.append([*plan, {"pid": os.getpid()}])

    def shard_fd(self, name: str, size: int) -> int:
        """A descriptor of the shard, made at its final `size` (bytes); open until the output is closed."""
        with self._lock:
            if name not in self._fds:
                with self._must(name):
                    self._fds[name] = self._open_shard(name, size)
            return self._fds[name]

    def _open_shard(self, name: str, size: int) -> int:
        fd = os.open(self.folder / name, _FILE, 0o644)
        os.ftruncate(fd, size)
        identity = (os.fstat(fd).st_ino, size)
        if self._known.get(name) != identity:
            self._known[name] = identity
            _sync_folder(self.folder)
            self._append([{"shard": name, "inode": identity[0], "size": size}])
        return fd

    def record(self, task_ids: Iterable[str]) -> None:
        """Make what was written to the shards durable, then note these tasks as done."""
        with self._lock:
            for name, fd in self._fds.items():
                with self._must(name):
                    os.fdatasync(fd)
            with self._must(journal.NAME):
                self._append([{"done": list(task_ids)}])
            self.safe = True

    def write_text(self, name: str, data: bytes) -> None:
        """A small file, whole and durable."""
        with self._must(name):
            fd = os.open(self.folder / name, _FILE | os.O_TRUNC, 0o644)
            try:
                while data:
                    data = data[os.write(fd, data) :]
                os.fsync(fd)
            finally:
                os.close(fd)

    def commit(self) -> None:
        """Make everything durable and let the output appear under its name."""
        with self._lock:
            for name, fd in self._fds.items():
                with self._must(name):
                    os.fsync(fd)
            self._close_files()
            with self._must(""):
                _sync_folder(self.folder)
                put_in_place(self.folder, self._out, force=self._force)
                self.committed = True
                # only now: had the rename failed, another run could still go on
                (self._out / journal.NAME).unlink()
                _sync_folder(self._out)
                _sync_folder(self._out.parent)

    def close(self) -> None:
        """Give back every descriptor; what was not recorded may be lost."""
        with self._lock:
            self._close_files()

    def _close_files(self) -> None:
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)
        if self._journal:
            self._journal.close()
            self._journal = None

    def _append(self, values: Iterable[Mapping[str, object]]) -> None:
        if self._journal is None:
            raise ValueError("the output is closed")
        self._journal.append(values)

    @contextmanager
    def _must(self, name: str) -> Iterator[None]:
        """An OSError inside is the end of this output's durability: Linux reports a failed sync only once."""
        if self._failed:
            raise StorageError.of("an earlier write failed", "", Mark(str(self.folder / name)))
        try:
            yield
        except OSError as error:
            self._failed = True
            raise storage_error(error, self.folder / name) from error


def _taken_up(partial: Path, plan_id: str, summary: Mapping[str, str], *, restart: bool) -> Record:
    """What of the unfinished work in `partial` counts; the folder is emptied when none of it does."""
    with writing(partial, "read the journal"):
        record = read_journal(partial)
    if record is None and not restart and any(partial.iterdir()):
        hint = "move it away, or drop it with --restart"
        raise SpecError.of(
            "this folder is in the way, and it is not the unfinished work of a build", hint, Mark(str(partial))
        )
    if record and record.plan_id == plan_id and not restart and _shards_stand(partial, record):
        return record
    if record and record.done and record.plan_id != plan_id and not restart:
        raise _other_plan(partial, record.summary, summary)
    _empty(partial)
    return Record()


def _shards_stand(partial: Path, record: Record) -> bool:
    """Whether every shard that the journal knows is still the same file at its full size."""
    for name, identity in record.shards.items():
        try:
            status = (partial / name).lstat()
        except OSError:
            return False
        if (status.st_ino, status.st_size) != identity:
            return False
    return True


def _other_plan(partial: Path, old: Mapping[str, str], new: Mapping[str, str]) -> SpecError:
    changes = [
        f"{key}: {old.get(key, '-')} there, {new.get(key, '-')} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    what = "; ".join(changes) or "the donors' files or the version of stacker have changed since"
    hint = "finish that build with its own spec, or drop it with --restart"
    return SpecError.of(f"another plan's unfinished work is here ({what})", hint, Mark(str(partial)))


def _make_parents(partial: Path) -> list[Path]:
    """Make the folders above `partial`; those that were not there before, innermost first."""
    missing = [parent for parent in partial.parents if not parent.exists()]
    with writing(partial.parent, "make this folder"):
        partial.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _empty(folder: Path) -> None:
    with writing(folder, "empty this folder"):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _remove(partial: Path, parents: Iterable[Path]) -> None:
    """Leave nothing behind where that can be done; an error here must not hide the one that led to it."""
    shutil.rmtree(partial, ignore_errors=True)
    with suppress(OSError):
        for parent in parents:
            parent.rmdir()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
