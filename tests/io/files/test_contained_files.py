"""Files are opened below the donor's folder, whatever is exchanged while they are opened."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stacker.errors import DonorError, UnsafeError
from stacker.io.files.contained_files import open_contained
from stacker.io.files.repository import FolderRepository

SECRET = b"secret"


def read(folder: Path, name: str) -> bytes:
    fd = open_contained(folder, name)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@pytest.fixture
def donor(tmp_path: Path) -> Path:
    """A donor with a licence and a pooling module, beside a secret file."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "donor/1_Pooling").mkdir(parents=True)
    (tmp_path / "donor/LICENSE").write_bytes(b"free")
    (tmp_path / "donor/1_Pooling/config.json").write_bytes(b"{}")
    return tmp_path / "donor"


def test_files_and_links_inside_are_opened(donor: Path) -> None:
    """Also in subfolders, and through a link to the donor's folder itself."""
    (donor / "NOTICE").symlink_to("1_Pooling/config.json")
    (donor.parent / "link").symlink_to("donor")
    assert read(donor, "LICENSE") == read(donor.parent / "link", "LICENSE") == b"free"
    assert read(donor, "1_Pooling/config.json") == read(donor, "NOTICE") == b"{}"


@pytest.mark.parametrize("name", ["link", "folder/secret", "../secret", "up/../../secret"])
def test_nothing_outside_is_opened(donor: Path, name: str) -> None:
    """Neither through links to files or folders nor through `..`."""
    (donor / "link").symlink_to("../secret")
    (donor / "folder").symlink_to("..")
    (donor / "up").mkdir()
    with pytest.raises(UnsafeError, match="leaves the donor's folder"):
        open_contained(donor, name)


def test_descriptors_are_closed(donor: Path) -> None:
    """Also when the file is refused."""
    (donor / "link").symlink_to("../secret")
    os.mkfifo(donor / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("link", "pipe", "absent"):
        with pytest.raises((UnsafeError, DonorError)):
            open_contained(donor, name)
    os.close(open_contained(donor, "LICENSE"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def _link_and_file(donor: Path) -> None:
    """Put a link to the secret, and then a file of the donor's own, in the licence's place."""
    (donor / "next").symlink_to("../secret")
    (donor / "next").rename(donor / "LICENSE")
    (donor / "next").write_bytes(b"free")
    (donor / "next").rename(donor / "LICENSE")


def _link_and_folder(donor: Path) -> None:
    """Put a link to a folder with a secret config, and then the donor's own folder, in the module's place."""
    (donor / "1_Pooling").rename(donor / "aside")
    (donor / "1_Pooling").symlink_to("../other")
    (donor / "1_Pooling").unlink()
    (donor / "aside").rename(donor / "1_Pooling")


@pytest.mark.parametrize(
    ("exchange", "name", "own"),
    [(_link_and_file, "LICENSE", b"free"), (_link_and_folder, "1_Pooling/config.json", b"{}")],
    ids=["file", "folder"],
)
def test_an_exchange_never_gives_a_secret(donor: Path, exchange: Callable[[Path], None], name: str, own: bytes) -> None:
    """While another thread exchanges the file or its folder, reads give the donor's own file or an error."""
    (donor.parent / "other").mkdir()
    (donor.parent / "other/config.json").write_bytes(SECRET)
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            exchange(donor)

    attacker = threading.Thread(target=attack)
    attacker.start()
    seen: Counter[object] = Counter()
    try:
        while seen[own] < 300 or seen[UnsafeError] + seen[DonorError] < 300:
            try:
                seen[FolderRepository(donor).read(name, 100)] += 1
            except (UnsafeError, DonorError) as error:
                seen[type(error)] += 1
    finally:
        stop.set()
        attacker.join()
    assert seen[SECRET] == 0
    assert set(seen) <= {own, SECRET, UnsafeError, DonorError}
