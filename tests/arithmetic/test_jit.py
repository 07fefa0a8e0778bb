"""Compiled functions are cached on disk where possible, and compiled again otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from stacker.arithmetic.jit import compiled

@compiled
def twice(values):
    for k in range(values.size):
        values[k] += values[k]
"""
USE = """
import numpy, sys
from module import twice
values = numpy.ones(3)
twice(values)
print(values.tolist(), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))
"""


def _run(code: str, folder: Path, **environment: str) -> str:
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("place", ["", "elsewhere"], ids=["beside the module", "NUMBA_CACHE_DIR"])
def test_what_was_compiled_is_found_again(tmp_path: Path, place: str) -> None:
    """The next process loads the cached code and does not compile."""
    (tmp_path / "module.py").write_text(MODULE)
    where = {"NUMBA_CACHE_DIR": str(tmp_path / place)} if place else {"NUMBA_CACHE_DIR": ""}
    found = [_run(USE, tmp_path, **where) for _ in range(2)]
    assert found == ["[2.0, 2.0, 2.0] 0 1", "[2.0, 2.0, 2.0] 1 0"]
    assert list((tmp_path / (place or "__pycache__")).rglob("module.twice-*.nbc"))


def test_a_cache_folder_that_cannot_be(tmp_path: Path) -> None:
    """Another cache folder is used without a warning."""
    (tmp_path / "module.py").write_text(MODULE)
    assert _run(USE, tmp_path, NUMBA_CACHE_DIR="/dev/null/here").startswith("[2.0, 2.0, 2.0]")


def test_nowhere_to_keep_it(tmp_path: Path) -> None:
    """A function without a source file cannot be cached; each process compiles it."""
    use = USE.replace("from module import twice", MODULE)
    for _ in range(2):
        assert _run(use, tmp_path, NUMBA_CACHE_DIR="/dev/null/here") == "[2.0, 2.0, 2.0] 0 1"


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    """If the cache cannot be read or written, as on a full disk, the function is compiled."""
    (tmp_path / "module.py").write_text(MODULE)
    lost = (
        "import os, pathlib, shutil\nplace = pathlib.Path(twice.stats.cache_path)\nshutil.rmtree(place)\nplace.touch()"
    )
    use = USE.replace("values =", f"{lost}\nvalues =", 1)
    assert _run(use, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "elsewhere")) == "[2.0, 2.0, 2.0] 0 1"


def test_arithmetic_is_as_written(tmp_path: Path) -> None:
    """Products are rounded before they are added, and sums run from left to right, so processors agree to the bit."""
    (tmp_path / "module.py").write_text(
        "from stacker.arithmetic.jit import compiled\n@compiled\ndef total(a, b, c):\n"
        "    total = c[0]\n    for k in range(a.size):\n        total += a[k] * b[k]\n    return total\n"
    )
    use = (
        "import numpy\nfrom module import total\nnear = numpy.full(100, 1 + 2.0**-30)\n"
        "by_hand = -1.0\nfor value in near: by_hand += value * value\n"
        "print(total(near, near, numpy.array([-1.0])) == by_hand)"
    )
    assert _run(use, tmp_path) == "True"
