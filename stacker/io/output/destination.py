"""Says where a finished output goes: a checkpoint becomes a folder, a GGUF stack one file or a set of parts.

Until then all its files are in a folder beside it, whose name ends in `.partial`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from stacker.core.plan.plan import Plan
from stacker.errors import Mark, Problem, SpecError
from stacker.formats.gguf_names import SUFFIX, make_part_name
from stacker.io.files.paths import exists, is_file, is_folder, is_same_file, list_folder
from stacker.io.output.lock import FolderLock
from stacker.io.output.placing import check_vacant, finish_quietly, list_failures, move_into_place, sync_folder

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class Destination(Protocol):
    """The place of a finished output. `folder` is where relative paths in the output start."""

    @property
    def out(self) -> Path: ...

    @property
    def folder(self) -> Path: ...

    def check_vacant(self, *, force: bool) -> None:
        """Raise a SpecError if something is in the way; with `force`, an earlier output may be there."""
        ...

    def move(self, made: Path, *, force: bool) -> Path | None:
        """Move what is in the folder `made` to its place; OSError if that fails.

        Returns the new path of a folder that was replaced, which `finish` deletes.
        """
        ...

    def is_taken_by(self, lock: FolderLock) -> bool:
        """Whether the output of the locked folder is in its place, and so complete; OSError if that cannot be told."""
        ...

    def finish(self, made: Path, old: Path | None) -> Iterator[Problem]:
        """Remove what is left over after moving; yields a warning for each step that fails."""
        ...


@dataclass(frozen=True, slots=True)
class FolderDestination:
    """The output becomes the folder `out`."""

    out: Path

    def __post_init__(self) -> None:
        # resolve() would follow a link at OUT
        object.__setattr__(self, "out", Path(os.path.abspath(self.out)))  # noqa: PTH100

    @property
    def folder(self) -> Path:
        return self.out

    def check_vacant(self, *, force: bool) -> None:
        check_vacant(self.out, force=force)

    def move(self, made: Path, *, force: bool) -> Path | None:
        return move_into_place(made, self.out, force=force)

    def is_taken_by(self, lock: FolderLock) -> bool:
        return lock.is_at(self.out)

    def finish(self, made: Path, old: Path | None) -> Iterator[Problem]:
        del made
        yield from finish_quietly(self.out, old)


@dataclass(frozen=True, slots=True)
class FileDestination:
    """The output becomes the file `out`, or parts that are named after it; `names` are their names while unfinished.

    The first part is moved last, and programs load a set by its first part, so that a set is whole or not there.
    """

    out: Path
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(os.path.abspath(self.out)))  # noqa: PTH100

    @property
    def folder(self) -> Path:
        return self.out.parent

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the finished files, in order."""
        count = len(self.names)
        stem = self.out.name.removesuffix(SUFFIX)
        return tuple(self.folder / make_part_name(stem, number, count) for number in range(count))

    def check_vacant(self, *, force: bool) -> None:
        for path in (self.out, *self.paths):
            if is_folder(path):
                raise SpecError.of("the output is a folder", "name a file that does not exist yet", Mark(str(path)))
            if exists(path) and not is_file(path):
                raise SpecError.of("the output is no regular file", "name another file", Mark(str(path)))
        taken = next((path for path in self.paths if exists(path) and not self._is_ours(path)), None)
        if taken and not force:
            hint = "--force replaces it once the new one is complete"
            raise SpecError.of("the output file exists", hint, Mark(str(taken)))

    def _is_ours(self, path: Path) -> bool:
        """Whether a file is a part that an interrupted run of this build has already put in its place."""
        made = self.out.with_name(f"{self.out.name}.partial")
        twins = [made / name for name, place in zip(self.names, self.paths, strict=True) if place == path]
        return any(is_same_file(twin, path) for twin in twins)

    def move(self, made: Path, *, force: bool) -> Path | None:
        del force  # what exists was found to be replaceable before
        *rest, first = sorted(zip(self.names, self.paths, strict=True), reverse=True)
        for name, path in (*rest, first):
            _place_file(made / name, path)
        return None

    def is_taken_by(self, lock: FolderLock) -> bool:
        first = self.paths[0]
        return exists(first) and (self._is_ours(first) or not exists(lock.folder / self.names[0]))

    def finish(self, made: Path, old: Path | None) -> Iterator[Problem]:
        del old
        doing = "remove the folder of unfinished work, which may be deleted"
        steps = [
            (made, doing, partial(_remove_folder, made)),
            (self.folder, "make sure that the output survives a power cut", partial(sync_folder, self.folder)),
        ]
        yield from list_failures(steps, self.folder)


def _place_file(made: Path, path: Path) -> None:
    """Give the file `made` the name `path`, in one step; where links are possible, it also keeps its old name."""
    if not exists(path):
        try:
            os.link(made, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    if not is_same_file(made, path):
        made.replace(path)


def _remove_folder(folder: Path) -> None:
    for name in list_folder(folder):
        (folder / name).unlink()
    folder.rmdir()


def open_destination(out: Path, plan: Plan, suffix: str, *, force: bool) -> Destination:
    """Where the output `out` of a plan goes; `suffix` is what the name of a file must end in, "" for a folder.

    SpecError if the name does not say what the output is, or if something is in the way; with `force`, an earlier
    output may be there.
    """
    if suffix and not out.name.endswith(suffix):
        message = f"the donors are {suffix[1:].upper()} files, and so is the stack"
        raise SpecError.of(message, f"name the output {out.name or 'stack'}{suffix}", Mark(str(out)))
    if not suffix and out.name.endswith(SUFFIX):
        message = "the donors are safetensors checkpoints, and so is the stack"
        hint = "name a folder, and convert it with llama.cpp's convert_hf_to_gguf.py"
        raise SpecError.of(message, hint, Mark(str(out)))
    names = [shard.name for shard in plan.shards]
    destination = FileDestination(out, tuple(names)) if suffix else FolderDestination(out)
    destination.check_vacant(force=force)
    return destination
