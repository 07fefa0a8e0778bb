"""Size limits: functions of at most 40 lines, files of at most 300. Also: no file contains paths of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.house import ROOT, find_long_functions, function_lengths

FUNCTION_LINES = 40
FILE_LINES = 300
SOURCES = [path for folder in ("stacker", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
MACHINE = re.compile(r"/(?:work|root|tmp/w|home/[a-z]\w*|Users/\w+)/|\b(?:files\.pythonhosted|registry\.npmjs)\b")
"""Paths of somebody's machine and addresses of package registries, which do not belong in a checkout."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    """No function has more than 40 lines."""
    assert find_long_functions(ast.parse(path.read_text(encoding="utf-8")), FUNCTION_LINES) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    """No file has more than 300 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES


def test_most_functions_are_shorter() -> None:
    """Half of the functions have at most 7 lines, nine of ten at most 22."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    lengths = sorted(length for tree in trees for _, length in function_lengths(tree))
    assert lengths[len(lengths) // 2] <= 7
    assert lengths[len(lengths) * 9 // 10] <= 22


def test_a_long_function_is_found() -> None:
    """A function or method one line over the limit is found; one at the limit is allowed."""
    body = "        pass\n" * (FUNCTION_LINES - 1)
    text = f"class A:\n    def fits(self):\n{body}    async def grew(self):\n{body}        pass\n"
    assert find_long_functions(ast.parse(text), FUNCTION_LINES) == [f"grew (line {FUNCTION_LINES + 2}): 41 lines"]


def test_no_file_names_a_machine() -> None:
    """No committed file contains a path of somebody's machine or the address of a registry."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    found = {name_of(path): MACHINE.findall(_text(path)) for path in paths if path.is_file()}
    assert {name: matches for name, matches in found.items() if matches} == {}


@pytest.mark.parametrize("place", ["work", "root", "home/somebody", "Users/Somebody"])
def test_a_machine_path_is_found(place: str) -> None:
    """A path of somebody's machine is found inside a line."""
    assert MACHINE.search(f"see /{place}/notes.txt")


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")
