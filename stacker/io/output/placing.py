"""Checks that nothing is in the way of an output, and moves the finished folder to its final path.

After the move the output is complete, and what fails later is only a warning.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from stacker.core.side_files.kinds import is_part_of_checkpoint
from stacker.errors import Blame, Mark, Problem, Severity, SpecError, StackerError, StorageError, escape_text
from stacker.io.disk.storage import explain_errors, make_storage_error
from stacker.io.files.paths import exists, is_folder, is_link, list_folder
from stacker.io.output.journal import JOURNAL

_WEIGHTS = (".safetensors", ".bin")
_NAMED = 3
"""How many files of others a message names."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""`_AT_FDCWD` and `_RENAME_EXCHANGE` are the values of AT_FDCWD and RENAME_EXCHANGE in renameat2(2)."""


def check_vacant(out: Path, *, force: bool) -> None:
    """Raise a SpecError unless `out` does not exist or is an empty folder.

    With `force`, `out` may also be a checkpoint. A folder without weights, such as a home folder typed by mistake, is
    still refused, and so is a checkpoint beside which there are other files, because they would be deleted with it.
    """
    mark = Mark(str(out))
    if not out.name:
        raise SpecError.of("this cannot be the output folder", "name a folder that does not exist yet", mark)
    if is_link(out) or (exists(out) and not is_folder(out)):
        what = "a link" if is_link(out) else "a file"
        raise SpecError.of(f"the output is {what}", "name a folder that does not exist yet", mark)
    names = list_folder(out) if is_folder(out) else ()
    if not names:
        return
    if not force:
        raise SpecError.of(
            "the output folder exists", "--force replaces this checkpoint, once the new one is complete", mark
        )
    if not any(name.endswith(_WEIGHTS) for name in names):
        hint = "--force only replaces checkpoints; name another folder, or empty this one"
        raise SpecError.of("the output folder holds something else than a checkpoint", hint, mark)
    with explain_errors(out, "look into this folder"):
        others = _name_other_files(out)
    if others:
        hint = "--force would delete them with the checkpoint: move them away, or name another folder"
        raise SpecError.of(f"the output folder holds files that do not belong to the checkpoint: {others}", hint, mark)


def _name_other_files(folder: Path) -> str:
    """The first files below a folder that do not belong to its checkpoint, as a text; "" if there are none."""
    found = list(islice(_find_other_files(folder), _NAMED + 1))
    names = ", ".join(f"'{escape_text(name)}'" for name in found[:_NAMED])
    return names + (" and more" if found[_NAMED:] else "")


def _find_other_files(folder: Path) -> Iterator[str]:
    """Yield the paths of files, and of links to folders, that are not part of a checkpoint, relative to the folder."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=fail):
        place = Path(parent)
        links = [name for name in folders if is_link(place / name)]
        names = (str((place / name).relative_to(folder)) for name in sorted([*files, *links]))
        yield from (name for name in names if name != JOURNAL and not is_part_of_checkpoint(name))


def make_parents(folder: Path) -> list[Path]:
    """Create the missing folders above `folder`; returns the paths of the created folders, innermost first."""
    missing = [parent for parent in folder.parents if not exists(parent)]
    with explain_errors(folder.parent, "make this folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    return missing


def move_into_place(new: Path, out: Path, *, force: bool) -> Path | None:
    """Rename the folder `new` to `out`; OSError when that fails, and `out` is then as it was before.

    With `force`, a folder that is already at `out` is kept under another name; the new path of the old folder is
    returned, or None when no folder was replaced.
    """
    if not force or not exists(out):
        new.rename(out)  # replaces an empty folder, raises ENOTEMPTY for any other
        return None
    old = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    if not _exchange_folders(new, out):
        _rename_twice(new, out, old)
        return old
    try:
        new.rename(old)
    except OSError:  # the new folder is in place; the old one keeps the name that the new one had
        return new
    return old


def _exchange_folders(new: Path, out: Path) -> bool:
    """Exchange the names of two folders in one system call.

    Returns False when the filesystem or the C library does not support that.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(out), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(out))


def _rename_twice(new: Path, out: Path, old: Path) -> None:
    """Rename `out` to `old`, then `new` to `out`; if the second renaming fails, undo the first."""
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise


def finish_quietly(out: Path, old: Path | None) -> Iterator[Problem]:
    """Finish a complete output: sync its name, remove its journal, and delete the folder `old` that it replaced.

    Yields a warning for each step that fails. The old folder is kept if other files were added to it meanwhile, or if
    the new name may be lost in a power cut.
    """
    steps: list[Step] = [
        (out.parent, "make sure that the output survives a power cut", partial(sync_folder, out.parent)),
        # the journal goes only now: if the new name is lost, a later run needs it
        (out / JOURNAL, "remove the journal, which may be deleted", partial((out / JOURNAL).unlink, missing_ok=True)),
        (out, "make sure that the journal stays removed", partial(sync_folder, out)),
        *([(old, "delete the folder that was replaced", partial(_delete_replaced, old))] if old else []),
    ]
    yield from list_failures(steps, out.parent, old)


Step = tuple[Path, str, Callable[[], object]]
"""A path, what is done with it, and the function that does it."""


def list_failures(steps: Iterable[Step], folder: Path, old: Path | None = None) -> Iterator[Problem]:
    """Take steps that follow a complete output in `folder`; yields a warning for each that fails.

    The steps end with a failure of `folder` itself, so that the folder `old`, which was replaced, is then kept.
    """
    for path, doing, step in steps:
        try:
            step()
        except StackerError as error:
            yield from (replace(problem, severity=Severity.WARNING) for problem in error.problems)
        except OSError as error:
            (problem,) = make_storage_error(error, path, doing).problems
            message = f"the output is complete, but stacker {problem.message.replace('cannot', 'could not', 1)}"
            is_lasting = path != folder
            hint = "" if is_lasting or old is None else f"the folder that it replaced is kept: {old.name}"
            yield Problem(message, hint, Mark(str(path)), Severity.WARNING, Blame.STORAGE)
            if not is_lasting:
                return


def _delete_replaced(old: Path) -> None:
    if others := _name_other_files(old):
        message = f"the output is complete, but the folder that it replaced is kept, because it holds {others}"
        raise StorageError.of(message, "they were added during the build; move them, then delete it", Mark(str(old)))
    shutil.rmtree(old)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file's content in one step, so that after a crash the file has its old or its new content."""
    new = path.with_name(f".{path.name}.new")
    with explain_errors(path):
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)


@contextmanager
def open_parent(path: Path, folder: Path) -> Iterator[int]:
    """Yield a descriptor of the folder of `path`, which is `folder` or a subfolder of it; a missing one is created."""
    if path.parent != folder:
        path.parent.mkdir(exist_ok=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power cut; OSError when that fails."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make sure that a file's content survives a power cut; OSError when that fails."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
