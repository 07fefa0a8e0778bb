"""A folder as a donor: its own files and the hub cache's links are read, everything else is refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from stacker.errors import DonorError, UnsafeError
from stacker.io.files.repository import FolderRepository


def test_reads_small_files(tmp_path: Path) -> None:
    """A file comes as a whole, and its name is listed."""
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "sub").mkdir()
    repository = FolderRepository(tmp_path)
    assert repository.list_names() == ("config.json",)
    assert repository.read("config.json", 2) == b"{}"
    assert repository.find_path("config.json") == repository.fetch("config.json") == tmp_path / "config.json"


def test_refuses_a_file_that_is_too_long(tmp_path: Path) -> None:
    """A config of a gigabyte is not read into memory."""
    (tmp_path / "config.json").write_bytes(b"{ }")
    with pytest.raises(DonorError, match="3 bytes; stacker reads at most 2"):
        FolderRepository(tmp_path).read("config.json", 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error has the path."""
    assert FolderRepository(tmp_path).find_path("config.json") is None
    with pytest.raises(DonorError, match=r"config\.json: there is no such file"):
        FolderRepository(tmp_path).read("config.json", 10)


def test_a_missing_folder_cannot_be_listed(tmp_path: Path) -> None:
    """The error has the path."""
    with pytest.raises(DonorError, match="absent: cannot look up this path: No such file"):
        FolderRepository(tmp_path / "absent").list_names()


@pytest.mark.parametrize("shared", [False, True], ids=["own blobs", "shared blobs"])
def test_links_of_the_hub_cache_are_followed(tmp_path: Path, shared: bool) -> None:
    """A snapshot links to blobs of its repository, or of the whole cache."""
    repository = tmp_path / "models--o--n"
    snapshot = repository / "snapshots" / "abc"
    blobs = (tmp_path if shared else repository) / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_bytes(b"{}")
    (snapshot / "config.json").symlink_to(os.path.relpath(blobs / "123", snapshot))
    assert FolderRepository(snapshot).read("config.json", 10) == b"{}"


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "../snapshots/x"], ids=["above", "absolute", "beside"])
def test_links_that_leave_the_donor_are_unsafe(tmp_path: Path, target: str) -> None:
    """A link out of the folder is refused, not read."""
    (tmp_path / "secret").write_text("{}")
    folder = tmp_path / "donor"
    folder.mkdir()
    (folder / "config.json").symlink_to(target)
    with pytest.raises(UnsafeError, match="leaves the donor's folder"):
        FolderRepository(folder).read("config.json", 10)


def test_a_link_to_nothing_is_an_unfinished_download(tmp_path: Path) -> None:
    """A dangling link inside the folder says where it leads."""
    (tmp_path / "config.json").symlink_to("gone.json")
    with pytest.raises(DonorError, match=r"leads to 'gone\.json', which is not there"):
        FolderRepository(tmp_path).read("config.json", 10)


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    """A link to itself is refused like a dangling one."""
    (tmp_path / "config.json").symlink_to("config.json")
    with pytest.raises(DonorError, match="which is not there"):
        FolderRepository(tmp_path).read("config.json", 10)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkfifo, "a named pipe"), (Path.mkdir, "a folder"), (_socket, "cannot open")],
    ids=["pipe", "folder", "socket"],
)
def test_what_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    """A pipe is not waited on, a folder not read."""
    monkeypatch.chdir(tmp_path)
    make(Path("config.json"))
    with pytest.raises(DonorError, match=kind):
        FolderRepository(Path()).read("config.json", 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_are_refused(tmp_path: Path) -> None:
    """An endless device in a donor's folder is not read."""
    os.mknod(tmp_path / "config.json", 0o020644, os.makedev(1, 5))
    with pytest.raises(DonorError, match="a device"):
        FolderRepository(tmp_path).read("config.json", 10)
