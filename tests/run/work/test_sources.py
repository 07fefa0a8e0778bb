"""Open donor files: few, shared, not closed while in use, and only those that are as planned."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stacker.core.values.donor import DonorFile
from stacker.errors import DonorError, StorageError
from stacker.formats.safetensors import FileStamp
from stacker.io.files.headers import read_header
from stacker.run.work.sources import OpenFiles, check_unchanged
from tests.donors import write_safetensors


@pytest.fixture
def files(tmp_path: Path) -> list[DonorFile]:
    """Five small files."""
    return [_file(tmp_path / f"{number}.safetensors") for number in range(5)]


def _file(path: Path) -> DonorFile:
    write_safetensors(path, {"x": ("U8", (4,), b"1234")})
    header = read_header(path)
    return DonorFile(path.name, header.size, header.digest, str(path), header.stamp, header.data_start)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_file_is_opened_once(files: list[DonorFile]) -> None:
    """Leases of one file, at the same time or one after the other, share a descriptor."""
    with closing(OpenFiles()) as sources:
        with sources.lease_local(files[0]) as first, sources.lease_local(files[0]) as second:
            assert first == second
        with sources.lease_local(files[0]) as third:
            assert third == first
    assert not _is_open(first)


def test_only_so_many_stay_open(files: list[DonorFile]) -> None:
    """The least recently used file is closed first."""
    with closing(OpenFiles(most=2)) as sources:
        fds = []
        for file in files[:3]:
            with sources.lease_local(file) as fd:
                fds.append(os.fstat(fd).st_ino)
        with sources.lease_local(files[1]) as fd:
            assert os.fstat(fd).st_ino == fds[1]
        assert len(sources.files) == 2


def test_what_is_on_lease_stays_open(files: list[DonorFile]) -> None:
    """More files than the limit can be leased at once."""
    with closing(OpenFiles(most=2)) as sources, ExitStack() as stack:
        fds = [stack.enter_context(sources.lease_local(file)) for file in files]
        assert len(set(fds)) == 5
        assert all(map(_is_open, fds))


@contextmanager
def _no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_when_the_process_may_have_no_more_idle_ones_are_given_up(files: list[DonorFile]) -> None:
    """On EMFILE idle files are closed and the file is opened again."""
    with closing(OpenFiles()) as sources:
        with sources.lease_local(files[0]):
            pass
        with _no_descriptor_left(), sources.lease_local(files[1]) as fd:
            assert _is_open(fd)
        assert len(sources.files) == 1


def test_when_all_are_on_lease_the_limit_is_an_error(files: list[DonorFile]) -> None:
    """EMFILE with no idle file is a StorageError, not a DonorError, that names file and limit and says what to do."""
    with (
        closing(OpenFiles()) as sources,
        sources.lease_local(files[0]),
        _no_descriptor_left(),
        pytest.raises(StorageError, match=r"Too many open files \(this process may open \d+\)\n.*ulimit -n"),
        sources.lease_local(files[1]),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 99}, "bytes, not 99"),
        ({"stamp": FileStamp(1, 1, 1)}, "it was written to"),
        ({"header": "00"}, "its header is another"),
    ],
    ids=["size", "time", "header"],
)
def test_another_file_than_planned_is_refused(files: list[DonorFile], change: dict[str, Any], message: str) -> None:
    """A file whose size, time or header is not as planned is a DonorError."""
    planned = replace(files[0], **change)
    with closing(OpenFiles()) as sources, pytest.raises(DonorError, match=message), sources.lease_local(planned):
        pass


def test_a_file_without_a_known_time_is_checked_by_its_header(files: list[DonorFile]) -> None:
    """Without a planned time (the file was fetched later), size and header are checked."""
    with closing(OpenFiles()) as sources, sources.lease_local(replace(files[0], stamp=None)) as fd:
        assert _is_open(fd)


def test_a_file_that_is_gone_is_refused(files: list[DonorFile]) -> None:
    """A donor's file that was deleted is a DonorError."""
    Path(str(files[0].path)).unlink()
    missing = pytest.raises(DonorError, match="No such file")
    with closing(OpenFiles()) as sources, missing, sources.lease_local(files[0]):
        pass
    with pytest.raises(DonorError, match="it is gone"):
        check_unchanged(files)
