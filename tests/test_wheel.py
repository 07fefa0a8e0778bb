"""The wheel holds everything that stacker reads, its metadata is valid, and it runs outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from email.parser import BytesParser
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

from stacker.version import VERSION
from tests.donors import write_llama
from tests.house import ROOT

INPUTS = ("pyproject.toml", "README.md", "LICENSE", "stacker", "architectures", "slices")
BUILD = "from setuptools import build_meta; import sys; print(build_meta.build_wheel(sys.argv[1]))"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel, which is built from a copy of the checkout."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in INPUTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def find_distribution(site: Path) -> Distribution:
    """The only distribution whose metadata is in a folder."""
    (info,) = site.glob("*.dist-info")
    return PathDistribution(info)


@pytest.mark.slow
def test_the_metadata_is_valid(unpacked: Path) -> None:
    """It follows the specification of core metadata, and names the distribution, its version and the README."""
    (info,) = unpacked.glob("*.dist-info")
    metadata = Metadata.from_email((info / "METADATA").read_bytes(), validate=True)
    assert (metadata.name, str(metadata.version)) == ("stacker-llm", VERSION)
    assert BytesParser().parsebytes((info / "METADATA").read_bytes())["Description-Content-Type"] == "text/markdown"
    assert metadata.license_expression == "Apache-2.0"


@pytest.mark.slow
def test_every_file_of_the_packages_is_inside(unpacked: Path) -> None:
    """Modules, pages, architectures and recipes of the checkout are in the wheel, and nothing else is."""
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    folders = {"stacker": ROOT / "stacker", "stacker/architectures": ROOT / "architectures"}
    folders["stacker/slices"] = ROOT / "slices"
    wanted = {
        f"{name}/{path.relative_to(folder)}"
        for name, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in inside if ".dist-info/" not in path} == wanted


@pytest.mark.slow
def test_it_runs_from_the_wheel_alone(unpacked: Path, tmp_path: Path) -> None:
    """The command of the wheel draws a recipe and builds a stack, with none of the checkout on its path."""
    (command,) = find_distribution(unpacked).entry_points
    assert (command.group, command.name) == ("console_scripts", "stacker")
    module, _, function = command.value.partition(":")
    write_llama(tmp_path / "donor", layers=4)
    (tmp_path / "stack.yml").write_text("stacker: 1\ndonors: {a: ./donor}\nstack:\n  - a[0:3]\n  - a[1:4]\n")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "STACKER_TREE")}
    for words in (["recipes", "goliath-120b"], ["build", "stack.yml", "out"], ["verify", "out"]):
        program = f"import sys, {module} as m; assert m.__file__.startswith(sys.argv.pop(1)); m.{function}()"
        subprocess.run(
            [sys.executable, "-c", program, unpacked, *words],
            cwd=tmp_path, env=environment | {"PYTHONPATH": str(unpacked)}, check=True, capture_output=True,
        )  # fmt: skip
    assert (tmp_path / "out" / "config.json").exists()


def list_texts() -> Iterator[Path]:
    """Every file in which somebody may read how to install stacker."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml"))
    yield from (*(ROOT / "docs").glob("*.md"), *(ROOT / "stacker").rglob("*.py"))


def test_every_line_on_installing_names_the_distribution() -> None:
    """`stacker` on the package index is something else, so no line says to install that; the extras named exist."""
    extras = set(PROJECT["optional-dependencies"])
    for path in list_texts():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install '?stacker(?!-llm)|\bstacker\[[a-z]+\]", text), path
        named = re.findall(r"(?:stacker-llm|'\.)\[([a-z,]+)\]", text)
        assert {extra for words in named for extra in words.split(",")} <= extras, path
