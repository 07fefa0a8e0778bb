"""The floors: what each unit may import, and which units may print, import torch, or use files and clocks."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests import house
from tests.house import FLOORS, ROOT, Module, parse_module, read_house

HOUSE = read_house()


def planted(**texts: str) -> dict[str, Module]:
    """Modules made from their texts; in their names `__` means a dot: `core__plan` is stacker.core.plan."""
    names = {f"stacker.{name.replace('__', '.')}": text for name, text in texts.items()}
    return {name: parse_module(name, text) for name, text in names.items()}


def test_imports_go_down() -> None:
    """No module imports from a higher floor or from another unit of its own floor."""
    assert house.find_climbs(HOUSE) == []


def test_no_cycles() -> None:
    """No modules import each other, directly or in a circle."""
    assert house.find_cycles(HOUSE) == []


def test_rooms_are_in_order() -> None:
    """Inside a unit, no rooms import each other, directly or in a circle."""
    assert house.find_room_cycles(HOUSE) == []


def test_a_cycle_of_rooms_is_found() -> None:
    """Two rooms that import each other are found, even if no two modules do."""
    texts = {
        "core__plan__layout": "from stacker.core.stack import nodes",
        "core__stack__nodes": "",
        "core__stack__graph": "from stacker.core.plan import plan",
        "core__plan__plan": "",
    }
    packages = {
        f"stacker.core.{name}": parse_module(f"stacker.core.{name}", "", package=True) for name in ("plan", "stack")
    }
    assert house.find_room_cycles({**planted(**texts), **packages}) == [["stacker.core.plan", "stacker.core.stack"]]


def test_numeric_packages_are_imported_late() -> None:
    """Only arithmetic/ and live/ import numpy, numba and torch at import time; only live/ imports transformers."""
    assert house.find_heavy_imports(HOUSE) == []


def test_only_the_command_line_talks() -> None:
    """Only cli/ prints and exits."""
    assert house.find_talk(HOUSE) == []


def test_the_core_is_pure() -> None:
    """core/ uses no files, clocks, random numbers or environment variables."""
    assert house.find_impurities(HOUSE) == []


def test_paths_are_asked_about_in_one_place() -> None:
    """Only stacker.io.files.paths asks the system about paths without handling its errors."""
    assert house.find_path_questions(HOUSE) == []


@pytest.mark.parametrize(
    "text",
    [
        "path.exists()",
        "os.path.isdir(path)",
        "def f():\n    return [p for p in folder.iterdir() if p.is_dir]",
        "try:\n    path.is_file()\nexcept ValueError:\n    pass",
        "with open(path):\n    path.resolve()",
    ],
)
def test_a_bare_path_question_is_found(text: str) -> None:
    """A question about a path is found where an OSError would not be caught."""
    assert len(house.find_path_questions(planted(run__plan=text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    path.exists()\nexcept OSError:\n    pass",
        "with explain_errors(path):\n    path.is_dir()",
        "with suppress(OSError):\n    list(folder.iterdir())",
        "files('stacker.slices').iterdir()",
        "is_folder(path)",
    ],
)
def test_a_handled_path_question_is_fine(text: str) -> None:
    """A question is allowed if its OSError is caught or translated, and so are those of stacker.io.files.paths."""
    assert house.find_path_questions(planted(run__plan=text)) == []


def test_every_package_ships() -> None:
    """pyproject.toml lists every package of the checkout and the two data folders."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert set(listed) == {name for name, module in HOUSE.items() if module.package} | {
        "stacker.architectures",
        "stacker.slices",
    }


def test_the_readme_draws_the_house() -> None:
    """The README's tree names every unit and room of the house once, and nothing else."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    packages = [f"{name.replace('.', '/')}/" for name, module in HOUSE.items() if module.package and name != "stacker"]
    modules = [f"stacker/{m.unit}.py" for name, m in HOUSE.items() if not m.package and name.count(".") == 1]
    assert sorted(drawn_paths(readme)) == sorted(["stacker/__init__.py", *packages, *modules])


def drawn_paths(readme: str) -> Iterator[str]:
    """The paths in the README's tree of stacker/; folders end with a slash."""
    opened = ["stacker/"]
    for line in readme.partition("\nstacker/\n")[2].partition("\narchitectures/")[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        opened[depth:] = [line.split()[0]]
        yield "".join(opened)


def test_contributing_lists_the_floors() -> None:
    """CONTRIBUTING names the units of every floor in the order of FLOORS; the data folders hold no modules."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = text.partition("From the lowest floor: ")[2].partition(". Units")[0]
    floors = [tuple(re.findall(r"`(\w+)`", floor)) for floor in listed.split("·")]
    assert floors == [tuple(unit for unit in units if unit not in ("architectures", "slices")) for units in FLOORS]


def test_contributing_names_paths_that_exist() -> None:
    """Every path in CONTRIBUTING exists; in one with a <name>, the folder does and has such files."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w.<>-]+/[\w./<>-]*[\w.<>-])/?`", text)
    missing = [path for path in paths if not any(ROOT.glob(re.sub(r"<\w+>", "*", path)))]
    assert missing == []
    assert len(paths) > 20


def test_the_house_is_read() -> None:
    """The checks above read the real source tree: packages, modules and their imports are found."""
    assert HOUSE["stacker.core"].package
    assert HOUSE["stacker.core.plan.layout"].unit == "core"
    assert any(target.name == "stacker.tensors" for _, target, _ in house.find_edges(HOUSE))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("from stacker.io.headers import read", id="from-module"),
        pytest.param("from stacker.io import headers", id="from-package"),
        pytest.param("import stacker.io.headers", id="plain"),
        pytest.param("from ..io import headers", id="relative"),
        pytest.param("def f():\n    from stacker.io import headers", id="lazy"),
        pytest.param("if TYPE_CHECKING:\n    from stacker.io.headers import Header", id="type-checking"),
        pytest.param("if typing.TYPE_CHECKING:\n    import stacker.io.headers", id="typing-type-checking"),
        pytest.param("importlib.import_module('stacker.io.headers')", id="by-name"),
        pytest.param("try:\n    import stacker.io.headers\nexcept ImportError:\n    pass", id="in-try"),
    ],
)
def test_a_climb_is_found(text: str) -> None:
    """An import from a higher floor is found in every way to write it."""
    (found,) = house.find_climbs(planted(core__plan=text, io__headers=""))
    assert "stacker.core.plan" in found
    assert "stacker.io.headers" in found


@pytest.mark.parametrize(
    ("here", "there"),
    [
        pytest.param("spec__model", "arch__model", id="packages"),
        pytest.param("errors", "tensors", id="modules"),
        pytest.param("run__local", "view__text", id="upper"),
    ],
)
def test_a_sideways_import_is_found(here: str, there: str) -> None:
    """An import between two units of one floor is found."""
    target = "stacker." + there.replace("__", ".")
    assert len(house.find_climbs(planted(**{here: f"import {target}", there: ""}))) == 1


def test_a_downward_import_is_fine() -> None:
    """A unit may import from any lower floor and from itself."""
    texts = {"core__plan": "from stacker.core import graph\nimport stacker.errors", "core__graph": "", "errors": ""}
    assert house.find_climbs(planted(**texts)) == []


def test_a_unit_without_a_floor_is_found() -> None:
    """A new package without a floor is found."""
    assert house.find_climbs(planted(utils="")) == ["stacker.utils: 'utils' has no floor"]


def test_a_cycle_is_found() -> None:
    """A cycle of three modules is found, including lazy and type-only imports."""
    cycle = planted(
        core__a="import stacker.core.b",
        core__b="def f():\n    from stacker.core.c import x",
        core__c="if TYPE_CHECKING:\n    from stacker.core import a",
    )
    assert house.find_cycles(cycle) == [["stacker.core.a", "stacker.core.b", "stacker.core.c"]]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import torch", id="torch"),
        pytest.param("from torch.nn import functional", id="from-torch"),
        pytest.param("from safetensors.torch import load_file", id="safetensors-torch"),
        pytest.param("class A:\n    import torch", id="class-body"),
        pytest.param("if not TYPE_CHECKING:\n    pass\nelse:\n    import torch", id="else"),
        pytest.param("def f():\n    import transformers", id="lazy-transformers"),
        pytest.param("if TYPE_CHECKING:\n    import accelerate", id="typed-accelerate"),
    ],
)
def test_a_heavy_import_is_found(text: str) -> None:
    """An import of torch at import time is found, and one of transformers anywhere outside live/."""
    assert len(house.find_heavy_imports(planted(ops__slerp=text))) == 1


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param({"ops__slerp": "def f():\n    import torch"}, id="lazy-torch"),
        pytest.param({"ops__slerp": "if TYPE_CHECKING:\n    import torch"}, id="typed-torch"),
        pytest.param({"live__load": "def f():\n    import transformers"}, id="live"),
        pytest.param({"arithmetic__sums": "import numpy"}, id="arithmetic"),
        pytest.param(
            {"arithmetic__sums": "import numpy", "run__tiles": "def f():\n    from stacker.arithmetic import sums"},
            id="lazy-arithmetic",
        ),
    ],
)
def test_a_light_import_is_fine(texts: dict[str, str]) -> None:
    """Lazy and type-only imports of torch are allowed, as are numpy in arithmetic/ and transformers in live/."""
    assert house.find_heavy_imports(planted(**texts)) == []


def test_arithmetic_is_heavy_itself() -> None:
    """Importing a module of arithmetic/ at import time counts as importing numpy."""
    text = "from stacker.arithmetic.sums import combine"
    assert len(house.find_heavy_imports(planted(arithmetic__sums="import numpy", run__tiles=text))) == 1


@pytest.mark.parametrize("text", ["print(1)", "import sys\nsys.exit(1)", "raise SystemExit", "show = print"])
def test_talk_is_found(text: str) -> None:
    """Printing and exiting are found in core/ and allowed in cli/."""
    assert len(house.find_talk(planted(core__plan=text))) == 1
    assert house.find_talk(planted(cli__build=text)) == []


@pytest.mark.parametrize("text", ["import os", "from pathlib import Path", "def f():\n    import time", "open('x')"])
def test_an_impurity_is_found(text: str) -> None:
    """Files and clocks are found in core/ and allowed in io/."""
    assert len(house.find_impurities(planted(core__plan=text))) == 1
    assert house.find_impurities(planted(io__plan=text)) == []
