"""Questions about paths: nothing there is an answer, and everything else that goes wrong names the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacker.errors import DonorError, StackerError, StorageError
from stacker.io.files import paths

QUESTIONS: dict[str, Callable[[Path, type[StackerError]], Any]] = {
    "exists": paths.exists,
    "is_folder": paths.is_folder,
    "is_file": paths.is_file,
    "is_link": paths.is_link,
    "list_folder": paths.list_folder,
    "read_link": paths.read_link,
    "resolve_links": paths.resolve_links,
}


def test_answers(tmp_path: Path) -> None:
    """Files, folders, links, and links to nothing are told apart."""
    (tmp_path / "file").touch()
    for name, target in (("link", "file"), ("nowhere", "nothing"), ("circle", "circle")):
        (tmp_path / name).symlink_to(target)
    assert paths.list_folder(tmp_path) == ["circle", "file", "link", "nowhere"]
    assert paths.is_folder(tmp_path)
    assert paths.is_file(tmp_path / "link")
    assert paths.is_link(tmp_path / "circle")
    assert paths.read_link(tmp_path / "nowhere") == Path("nothing")
    assert paths.resolve_links(tmp_path / "link") == tmp_path / "file"
    assert [paths.exists(tmp_path / name) for name in ("nowhere", "circle", "file/below", "none")] == [False] * 4


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
@pytest.mark.parametrize("name", ["x" * 300, "a/" * 2500, "nul\0"], ids=["long name", "long path", "nul"])
def test_impossible_paths_are_errors(name: str, ask: Callable[[Path, type[StackerError]], Any]) -> None:
    """A path that the system cannot look up raises the wanted class of error, never OSError or ValueError."""
    if ask is paths.resolve_links and "\0" not in name:
        pytest.skip("a path that is too long is as resolved as it can be")
    with pytest.raises(DonorError, match="cannot look up this path: "):
        ask(Path(name), DonorError)


def test_an_unreadable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be entered is told with its reason, and not taken for an empty place."""
    monkeypatch.setattr(Path, "stat", _deny)
    with pytest.raises(StorageError, match="Permission denied\n  hint: you may not enter"):
        paths.exists(tmp_path)


def _deny(path: Path, **_: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_home_that_does_not_exist(tmp_path: Path) -> None:
    """`~` of an unknown user is an error; other paths stay."""
    assert paths.expand_home(tmp_path) == tmp_path
    with pytest.raises(StorageError, match="home"):
        paths.expand_home(Path("~no-such-user/x"))


def test_names_that_are_not_utf8() -> None:
    """A name with bytes that are no UTF-8 is recognised."""
    assert paths.is_utf8("naïve")
    assert not paths.is_utf8("\udcff")
