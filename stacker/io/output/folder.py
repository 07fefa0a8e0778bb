"""Writes an output folder under a temporary name, and renames the folder when it is complete.

Until then the folder is `OUT.partial`: it is locked, and its journal lists the tasks whose results are safely on the
disk. `Output.commit` syncs all files and renames the folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from stacker.core.plan.plan import Plan, Shard
from stacker.core.values.donor import DonorFile
from stacker.errors import Mark, Problem, StorageError
from stacker.formats.safetensors import Stamp
from stacker.io.disk.direct import Writer, close_writer, write_all
from stacker.io.disk.open_files import FileCache, limit_open_files
from stacker.io.disk.storage import explain_errors, make_storage_error
from stacker.io.output.destination import Destination
from stacker.io.output.journal import JOURNAL, Journal, Record
from stacker.io.output.lock import FolderLock, lock_folder
from stacker.io.output.partial_folder import check_owner, drop_folder, prepare_folder, remove_folder
from stacker.io.output.placing import make_parents, open_parent, sync_file, sync_folder

_MOST_OPEN = 32
"""How many shards stay open at once, unless more are being written to."""
_FILE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW_FILE = _FILE | os.O_CREAT | os.O_TRUNC


@contextmanager
def open_output(
    destination: Destination,
    plan: Plan,
    summary: Mapping[str, str],
    side_files: Collection[str] = (),
    *,
    force: bool,
    restart: bool,
) -> Iterator[Output]:
    """Yield an Output that writes to `destination` and continues the work that an earlier run of the same plan left.

    `force` allows `commit` to replace a checkpoint there, `restart` deletes unfinished work first, and `summary`
    describes the plan in the error of a later run with another plan. `side_files` names the small files that are
    written before the shards. SpecError when an output or another plan's work is in the way, UnsafeError when it is not
    this user's own, LockedError when another process builds it, StorageError when the disk cannot be written.
    """
    out = destination.out
    unfinished = out.with_name(out.name + ".partial") if out.name else out
    destination.check_vacant(force=force)
    made = make_parents(unfinished)
    if restart:
        drop_folder(unfinished)
    with lock_folder(unfinished) as lock:
        destination.check_vacant(force=force)
        if not lock.made:
            check_owner(unfinished)
        record = prepare_folder(unfinished, plan, summary, side_files)
        output = Output(destination, lock, record, force=force)
        try:
            output.begin(plan, summary)
            yield output
        finally:
            output.close()
            # without a commit, the work is kept for a later run if any task was recorded
            if not output.committed and not output.recorded:
                remove_folder(unfinished, made)


class Output:
    """An output that is being written in `folder`; `done` is the ids of the tasks that earlier runs did, and
    `recorded` those of all tasks in the journal.

    `record_read` is what earlier runs recorded. Methods are thread-safe and raise StorageErrors; after a failed sync,
    `record` and `commit` always fail. When one of the file caches in `caches` cannot open another file, unused files in
    all of these caches may be closed.
    """

    def __init__(self, destination: Destination, lock: FolderLock, record: Record, *, force: bool) -> None:
        self.folder = lock.folder
        self.record_read = record
        self.done = frozenset(record.done)
        self.recorded = set(record.done)
        self._destination = destination
        self._force = force
        self._folder_lock = lock
        self._sizes = dict(record.shards)
        self._synced: set[str] = set()  # shards that this run has synced at least once
        self._named = set(record.shards)  # shards that the journal lists
        self._stamps = dict(record.donors)  # versions of donors' files that the journal lists
        most = limit_open_files(_MOST_OPEN, 2)
        self._shards: FileCache[Writer] = FileCache(close_writer, most, settle=self._sync_shard)
        self.caches = self._shards.group
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._failed = False

    @property
    def committed(self) -> bool:
        """Whether the folder has its final name, so that the output is complete; False if the system does not tell."""
        with suppress(OSError):
            return self._destination.is_taken_by(self._folder_lock)
        return False

    def begin(self, plan: Plan, summary: Mapping[str, str]) -> None:
        """Open the journal, or begin a new one for this plan, and append this process's id."""
        with self._guard(JOURNAL):
            if self.record_read.nbytes:
                self._journal = Journal.resume(self.folder, self.record_read.nbytes)
            else:
                self._journal = Journal.begin(self.folder, plan.id, summary, [shard.name for shard in plan.shards])
                self._sync_folders()
            self._journal.note_process()

    def discard(self, shards: Collection[str], task_ids: Collection[str]) -> None:
        """Delete the files of `shards`, and note in the journal that the tasks `task_ids` are not done.

        A shard that has no file yet is not an error. Call this before any shard is opened.
        """
        with self._lock:
            with self._guard(JOURNAL):
                self._open_journal().note_lost(shards, task_ids)
                self._open_journal().sync()
            for name in shards:
                with self._guard(name):
                    (self.folder / name).unlink(missing_ok=True)
                self._sizes.pop(name, None)
                self._named.discard(name)
            self.done -= frozenset(task_ids)
            self.recorded.difference_update(task_ids)

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
        fd = os.open(self.folder / shard.name, _NEW_FILE if is_new else _FILE, 0o644)
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

    def record(
        self,
        task_ids: Iterable[str],
        complete: Iterable[str] = (),
        *,
        donor_files: Iterable[DonorFile] = (),
        digests: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Sync all open shards, list the tasks `task_ids` in the journal as done, and close the shards `complete`.

        `complete` is the names of the shards that will not be written any more. `donor_files` is the files that these
        tasks have read, and `digests` maps ids of tasks to digests of the bytes that they wrote.
        """
        done = {task: digests.get(task, "") for task in task_ids}
        stamps = {file.place: file.stamp for file in donor_files if file.stamp}
        with self._lock:
            with self._shards.lease_all() as shards:
                for name, writer in shards.items():
                    self._sync_shard(name, writer)
            with self._guard(JOURNAL):
                self._note(done, stamps)
            self.recorded.update(done)
            names = list(complete)
            while self._shards.close_idle(names):
                pass

    def _note(self, done: Mapping[str, str], stamps: Mapping[str, Stamp]) -> None:
        """Append to the journal the tasks `done`, and the synced shards and donor files that it does not list yet."""
        new = {name: self._sizes[name] for name in sorted(self._synced - self._named)}
        if new:
            self._sync_folders()
        changed = {path: stamp for path, stamp in stamps.items() if self._stamps.get(path) != stamp}
        self._open_journal().note_done(new, changed, done)
        self._open_journal().sync()
        self._named.update(new)
        self._stamps |= changed

    def _sync_folders(self) -> None:
        for folder in (self.folder, self.folder.parent):
            self._shards.retry(partial(sync_folder, folder))

    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise ValueError("the output is closed")
        return self._journal

    def adopt(self, path: Path, shard: Shard, done: Mapping[str, str], donors: Mapping[str, Stamp]) -> None:
        """Move a whole shard, written and synced by another process, here; `done` and `donors` are as in Record."""
        with self._lock, self._guard(shard.name):  # listed first, so that a crash loses no shard
            self._open_journal().note_done({shard.name: shard.size}, donors, done)
            self._open_journal().sync()
            path.rename(self.folder / shard.name)
            self._sizes[shard.name] = shard.size
            self._named.add(shard.name)
            self.recorded.update(done)

    def write_texts(self, texts: Mapping[str, bytes]) -> None:
        """Write small files, by name, in the output folder and sync them; a name may be in a subfolder."""
        with self._guard(JOURNAL):
            self._open_journal().note_files(texts)
            self._open_journal().sync()
        for name, data in texts.items():
            with self._guard(name), open_parent(self.folder / name, self.folder) as parent:
                fd = os.open(Path(name).name, _NEW_FILE, 0o644, dir_fd=parent)
                try:
                    write_all(fd, data, 0)
                    os.fsync(fd)
                    os.fsync(parent)
                finally:
                    os.close(fd)

    def write_lock(self, shard: Shard, text: bytes) -> None:
        """Write the lock into the room that a shard's header leaves for it; StorageError if the room is too small."""
        at, room = shard.lock
        if len(text) > room:
            message = f"the lock has {len(text):,} bytes, but the header leaves only {room:,} for it"
            raise StorageError.of(message, "use a shorter spec", self._mark(shard.name))
        with self.lease_shard(shard) as writer:
            write_all(writer.fd, text.ljust(room), at)

    def commit(self) -> tuple[Problem, ...]:
        """Sync all files, rename the folder to the output's final name, and delete a folder that was replaced.

        Nothing fails after the renaming, because the output is then complete: what goes wrong is returned as warnings.
        """
        with self._lock:
            while self._shards.close_idle():
                pass
            for name in self._sizes:
                with self._guard(name):
                    sync_file(self.folder / name)
            self._close_files()
            with self._guard(""):
                sync_folder(self.folder)
                if not self._folder_lock.is_in_place():
                    raise StorageError.of("this folder was moved or replaced during the build", "", self._mark(""))
                old = self._destination.move(self.folder, force=self._force)
        return tuple(self._destination.finish(self.folder, old))

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
            raise StorageError.of("an earlier write failed", "", self._mark(name))
        try:
            yield
        except OSError as error:
            self._failed = True
            raise make_storage_error(error, self.folder / name) from error

    def _mark(self, name: str) -> Mark:
        return Mark(str(self.folder / name))
