"""Writes an output folder under a temporary name, and renames the folder when it is complete.

Until then the folder is `OUT.partial`: it is locked, and its journal lists the tasks whose results are safely on the
disk. `Output.commit` syncs all files and renames the folder.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from stacker.core.plan.plan import Shard
from stacker.errors import Mark, SpecError, StorageError
from stacker.io.disk.direct import Writer, write_all
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.disk.storage import explain_errors, make_storage_error
from stacker.io.files.paths import exists, is_folder, is_link, list_folder
from stacker.io.output.journal import JOURNAL, Journal, Record, prepare_folder
from stacker.io.output.lock import lock_folder, move_into_place

_WEIGHTS = (".safetensors", ".bin")
_MOST_OPEN = 32
"""How many shards stay open at once, unless more are being written to."""
_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def open_output(out: Path, plan_id: str, summary: Mapping[str, str], *, force: bool, restart: bool) -> Iterator[Output]:
    """Yield an Output that writes the folder `out` and continues the work that an earlier run of the same plan left.

    `force` allows `commit` to replace a checkpoint at `out`, `restart` deletes unfinished work first, and `summary`
    describes the plan for the error that a later run with another plan gets. SpecError when `out` or another plan's
    work is in the way, LockedError when another process builds this output, StorageError when the disk cannot be
    written.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link at OUT
    partial = out.with_name(out.name + ".partial") if out.name else out
    check_vacant(out, force=force)
    made = _make_parents(partial)
    with lock_folder(partial):
        check_vacant(out, force=force)
        record = prepare_folder(partial, plan_id, summary, restart=restart)
        output = Output(out, partial, record, force=force)
        try:
            output.begin(plan_id, summary)
            yield output
        finally:
            output.close()
            # without a commit, the work is kept for a later run if any task was recorded
            if not output.committed and not output.has_recorded:
                _remove(partial, made)


def check_vacant(out: Path, *, force: bool) -> None:
    """Raise a SpecError unless `out` does not exist or is an empty folder.

    With `force`, `out` may also be a folder that contains weight files; any other folder, such as a home folder typed
    by mistake, is still refused.
    """
    mark = Mark(str(out))
    if not out.name:
        raise SpecError.of("this cannot be the output folder", "name a folder that does not exist yet", mark)
    if is_link(out) or (exists(out) and not is_folder(out)):
        what = "a link" if is_link(out) else "a file"
        raise SpecError.of(f"the output is {what}", "name a folder that does not exist yet", mark)
    names = list_folder(out) if is_folder(out) else ()
    if names and not force:
        raise SpecError.of("the output folder exists", "--force replaces it, once the new one is complete", mark)
    if names and not any(name.endswith(_WEIGHTS) for name in names):
        hint = "--force only replaces checkpoints; name another folder, or empty this one"
        raise SpecError.of("the output folder holds something else than a checkpoint", hint, mark)


class Output:
    """An output that is being written in `folder`; `done` is the ids of the tasks that earlier runs recorded as done.

    Methods are thread-safe and raise StorageErrors; after a failed sync, `record` and `commit` always fail. When one of
    the file caches in `caches` cannot open another file, unused files in all of these caches may be closed.
    """

    def __init__(self, out: Path, folder: Path, record: Record, *, force: bool) -> None:
        self.folder = folder
        self.done = record.done
        self.has_recorded = bool(record.done)
        self.committed = False
        self._out = out
        self._force = force
        self._keep = record.nbytes
        self._sizes = dict(record.shards)
        self._synced: set[str] = set()  # shards that this run has synced at least once
        self._named = set(record.shards)  # shards that the journal lists
        most = limit_open_files(_MOST_OPEN, 2)
        self._shards: FileCache[Writer] = FileCache(_close_shard, most, settle=self._sync_shard)
        self.caches = self._shards.group
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._failed = False

    def begin(self, plan_id: str, summary: Mapping[str, str]) -> None:
        """Open the journal and append this process's id; in a new journal, the plan's id and summary come first."""
        with self._guard(JOURNAL):
            self._journal = Journal.open(self.folder, self._keep)
            plan = [] if self._keep else [{"plan": plan_id, "summary": dict(summary)}]
            self._journal.write([*plan, {"pid": os.getpid()}])

    @contextmanager
    def lease_shard(self, shard: Shard) -> Iterator[Writer]:
        """Yield a Writer for the file of a shard; a new file is created at its final size, with the shard's header.

        OSErrors in the `with` block become StorageErrors that name the file.
        """
        opening = partial(self._open_shard, shard)
        with explain_errors(self.folder / shard.name), self._shards.lease(shard.name, opening) as writer:
            yield writer

    def _open_shard(self, shard: Shard) -> Writer:
        """Open the file of a shard for writing.

        If no run of this plan has created the file yet, it is created at its final size, with the shard's header.
        """
        is_new = shard.name not in self._sizes
        fd = os.open(self.folder / shard.name, _FILE if is_new else _FILE & ~os.O_CREAT, 0o644)
        try:
            if is_new:
                os.ftruncate(fd, shard.size)
                write_all(fd, shard.header, 0)
            writer = Writer(fd)
        except BaseException:
            os.close(fd)
            raise
        self._sizes[shard.name] = shard.size
        return writer

    def _sync_shard(self, name: str, writer: Writer) -> None:
        """Sync a shard's file, so that everything written to it so far survives a crash."""
        with self._guard(name):
            os.fdatasync(writer.fd)
        self._synced.add(name)

    def record(self, task_ids: Iterable[str], complete: Iterable[str] = ()) -> None:
        """Sync all open shards, list the tasks `task_ids` in the journal as done, and close the shards `complete`.

        `complete` is the names of the shards that will not be written any more.
        """
        done = list(task_ids)
        with self._lock:
            with self._shards.lease_all() as shards:
                for name, writer in shards.items():
                    self._sync_shard(name, writer)
            with self._guard(JOURNAL):
                self._note(done)
            self.has_recorded = self.has_recorded or bool(done)
            names = list(complete)
            while self._shards.close_idle(names):
                pass

    def _note(self, done: list[str]) -> None:
        """Append to the journal the synced shards that it does not list yet, and then the ids `done` of tasks."""
        if self._journal is None:
            raise ValueError("the output is closed")
        new = sorted(self._synced - self._named)
        if new:
            for folder in (self.folder, self.folder.parent):
                self._shards.retry(partial(_sync_folder, folder))
        self._journal.write([*({"shard": name, "size": self._sizes[name]} for name in new), {"done": done}])
        self._journal.sync()
        self._named.update(new)

    def write_text(self, name: str, data: bytes) -> None:
        """Write the small file `name`, which may be in a subfolder, in the output folder and sync it."""
        with self._guard(name), _open_parent(self.folder / name, self.folder) as parent:
            fd = os.open(Path(name).name, _FILE | os.O_TRUNC, 0o644, dir_fd=parent)
            try:
                while data:
                    data = data[os.write(fd, data) :]
                os.fsync(fd)
                os.fsync(parent)
            finally:
                os.close(fd)

    def commit(self) -> None:
        """Sync all files, rename the folder to the output's final name, and delete a folder that was replaced."""
        with self._lock:
            while self._shards.close_idle():
                pass
            for name in self._sizes:
                with self._guard(name):
                    _sync_file(self.folder / name)
            self._close_files()
            with self._guard(""):
                _sync_folder(self.folder)
                old = move_into_place(self.folder, self._out, force=self._force)
                self.committed = True
                # only after the rename: had it failed, a later run would need the journal to resume
                (self._out / JOURNAL).unlink()
                _sync_folder(self._out)
                _sync_folder(self._out.parent)
        if old:
            with explain_errors(old, "remove the folder that was replaced"):
                shutil.rmtree(old)

    def close(self) -> None:
        """Close all files without syncing them; bytes of tasks that were not recorded may be lost."""
        with self._lock:
            self._close_files()

    def _close_files(self) -> None:
        self._shards.close()
        if self._journal:
            self._journal.close()
            self._journal = None

    @contextmanager
    def _guard(self, name: str) -> Iterator[None]:
        """Turn an OSError in the `with` block into a StorageError, and make every later `_guard` block fail at once.

        The error names the file `name`. Linux reports a failed sync only once, so a later sync may succeed although
        data are lost.
        """
        if self._failed:
            raise StorageError.of("an earlier write failed", "", Mark(str(self.folder / name)))
        try:
            yield
        except OSError as error:
            self._failed = True
            raise make_storage_error(error, self.folder / name) from error


def _make_parents(partial: Path) -> list[Path]:
    """Create the missing folders above `partial`; returns the paths of the created folders, innermost first."""
    missing = [parent for parent in partial.parents if not exists(parent)]
    with explain_errors(partial.parent, "make this folder"):
        partial.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove(partial: Path, parents: Iterable[Path]) -> None:
    """Delete the folder `partial` and then the folders `parents`, in order, up to the first that is not empty.

    Errors are ignored, because they would hide the error that stopped the build.
    """
    shutil.rmtree(partial, ignore_errors=True)
    with suppress(OSError):
        for parent in parents:
            parent.rmdir()


@contextmanager
def _open_parent(path: Path, folder: Path) -> Iterator[int]:
    """Yield a descriptor of the folder of `path`, which is `folder` or a subfolder of it; a missing one is created."""
    if path.parent != folder:
        path.parent.mkdir(exist_ok=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _close_shard(writer: Writer) -> None:
    writer.close()
    os.close(writer.fd)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
