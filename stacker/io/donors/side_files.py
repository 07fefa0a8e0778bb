"""Lists, checks and reads side files: the small files beside the weights, such as tokenizer and chat template.

Each file is opened below its donor's folder, and what is written to the output is what was read then.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

from stacker.core.side_files.cleaning import clean_side_file
from stacker.core.side_files.kinds import Content, find_rule
from stacker.core.side_files.selection import CarriedFile, SideFiles, check_modules
from stacker.core.stack.graph import StackGraph
from stacker.core.tokens.ids import HighestIds, check_ids, find_highest_id, lists_ids
from stacker.core.values.donor import Donor, SideFile
from stacker.errors import DonorError, Mark, Problem, StackerError
from stacker.formats.json_object import MAX_JSON_BYTES
from stacker.formats.safetensors import FileStamp
from stacker.io.donors.location import open_source
from stacker.io.files.headers import make_stamp
from stacker.io.files.repository import FolderRepository, Repository
from stacker.spec.language.stack_spec import StackSpec

MAX_TOTAL_BYTES = 500_000_000


def list_side_files(
    repository: Repository, source: str, weights: Collection[str]
) -> tuple[tuple[SideFile, ...], tuple[str, ...]]:
    """List the side files of a donor without opening them, and the names of its other files except the files `weights`.

    `source` is the donor's source as written in the spec. A file that is only on the hub has "" as `path`.
    """
    names = [name for name in repository.list_names() if name not in weights]
    side = [name for name in names if find_rule(name)]
    files = (SideFile(name, _find_path(repository, name), source, repository.revision) for name in side)
    return tuple(files), tuple(name for name in names if name not in side)


def _find_path(repository: Repository, name: str) -> str:
    """The absolute path of a side file; "" if it is only on the hub."""
    if isinstance(repository, FolderRepository):  # not checked here: a stack may not need the file
        return str((repository.folder / name).absolute())
    path = repository.find_path(name)
    return str(path.absolute()) if path else ""


def check_side_files(
    files: SideFiles, spec: StackSpec, graph: StackGraph, donors: Mapping[str, Donor]
) -> Iterator[Problem]:
    """Check the side files of a stack that are on this machine; yields what is wrong and what will be left out.

    Each file must be a regular file of reasonable size, settings must be JSON, and the ids of the tokenizer must have
    rows in the embedding.
    """
    highest: HighestIds = {}
    total = 0
    for each in files.carried:
        if each.file.path or each.file.data is not None:
            try:
                size, stamp = _measure(each)
                total += size
                problems, found = _inspect_stored(each, stamp) if stamp else _inspect(each)
                yield from problems
                highest |= {each.file.name: found} if found else {}
            except StackerError as error:
                yield from error.problems
    if total > MAX_TOTAL_BYTES:
        message = f"the files beside the weights have {total:,} bytes; stacker carries at most {MAX_TOTAL_BYTES:,}"
        yield Problem(message, "remove those that do not belong to the model")
    yield from check_modules(files)
    yield from check_ids(spec, graph, donors, highest)


def _measure(carried: CarriedFile) -> tuple[int, FileStamp | None]:
    """The size of a side file in bytes, and its version if it is stored; raises if it may not be carried."""
    if carried.file.data is not None:
        return len(carried.file.data), None
    size, stamp = find_version(carried.file)
    if size > carried.rule.limit:
        message = f"this file has {size:,} bytes; a {carried.rule.kind} file may have {carried.rule.limit:,}"
        raise DonorError.of(message, "remove it if it does not belong to the model", Mark(carried.file.path))
    return size, stamp


def find_version(file: SideFile) -> tuple[int, FileStamp]:
    """The size in bytes and the version of a side file that is on this machine; DonorError or UnsafeError if unread."""
    with _find_folder(file).open(file.name) as fd:
        status = os.fstat(fd)
    return status.st_size, make_stamp(status)


Inspected = tuple[tuple[Problem, ...], tuple[str, int] | None]
"""The problems of a side file, and its token with the highest id, with that id; None if it lists no ids."""


@lru_cache(maxsize=256)
def _inspect_stored(carried: CarriedFile, stamp: FileStamp) -> Inspected:
    """Inspect the version `stamp` of a stored file, once for all stacks that take it, such as those of a search."""
    del stamp
    return _inspect(carried)


def _inspect(carried: CarriedFile) -> Inspected:
    name = carried.file.name
    if carried.rule.content is not Content.SETTINGS and not lists_ids(name):
        return (), None
    problems: tuple[Problem, ...] = ()
    try:
        data = read_side_file(carried.file)
        problems = clean_side_file(carried, data)[1]
        return problems, find_highest_id(name, data, carried.file.path or name)
    except StackerError as error:
        return (*problems, *error.problems), None


def fetch_side_files(files: SideFiles) -> SideFiles:
    """Download the side files of a stack that are only on the hub; returns them with their paths.

    DonorError when a download fails.
    """
    opened = cache(open_source)
    carried = (
        each
        if each.file.path or each.file.data is not None
        else replace(each, file=_fetch(each.file, opened(each.file.source, each.file.revision)))
        for each in files.carried
    )
    return replace(files, carried=tuple(carried))


def read_clean_files(files: SideFiles) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) for each side file that is written to the output, without unsafe settings.

    DonorError or UnsafeError when a file cannot be read.
    """
    for each in files.carried:
        data, _ = clean_side_file(each, read_side_file(each.file))
        if data is not None:
            yield each.file.name, data


def read_side_file(file: SideFile) -> bytes:
    """Read a side file, which is downloaded first if it is only on the hub.

    DonorError when downloading or reading fails, or when the file is too large; UnsafeError when it is a link to a
    place outside of the donor.
    """
    if file.data is not None:
        return file.data
    local = file if file.path else _fetch(file, open_source(file.source, file.revision))
    rule = find_rule(file.name)
    return _find_folder(local).read(file.name, rule.limit if rule else MAX_JSON_BYTES)


def _find_folder(file: SideFile) -> FolderRepository:
    return FolderRepository(Path(file.path).parents[file.name.count("/")])


def _fetch(file: SideFile, repository: Repository) -> SideFile:
    return replace(file, path=str(repository.fetch(file.name, lambda _: None).absolute()))
