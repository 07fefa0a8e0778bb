"""The Python API: what `import stacker` offers, and how its values look at a prompt."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import stacker
from stacker.errors import SpecError
from tests.donors import write_llama

SPEC = "stacker: 1\nname: tall\ndonors: {a: ./a}\nstack:\n  - a[0:3]\n  - a[1:4]\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec with its donor beside it."""
    write_llama(tmp_path / "a", layers=4)
    (tmp_path / "spec.yml").write_text(SPEC)
    return tmp_path / "spec.yml"


def test_values_are_one_line_at_a_prompt(spec: Path) -> None:
    """A stack and a finished build say what they are instead of printing everything they hold."""
    stack = stacker.load(spec)
    assert repr(stack) == "<Stack 'tall': 6 layers of a>"
    built = stack.build(spec.parent / "out")
    assert repr(built).startswith(f"<Built '{spec.parent / 'out'}': ")
    assert built.plan.id in repr(built)
    assert "\n" not in repr(built)


def test_options_are_keywords(spec: Path) -> None:
    """`build` takes options by name; without force, an output that exists is not replaced."""
    stack = stacker.load(spec)
    stack.build(spec.parent / "out")
    with pytest.raises(stacker.SpecError, match="exists"):
        stack.build(spec.parent / "out")
    built = stack.build(spec.parent / "out", force=True, workers=1)
    assert built.out == spec.parent / "out"


def test_help_shows_the_api() -> None:
    """`help(stacker)` names load, the classes of its values, and every error."""
    shown = pydoc.plain(pydoc.render_doc(stacker))
    for name in stacker.__all__:
        assert f"class {name}" in shown or f"{name}(" in shown or name in ("__version__", "search"), name
    assert stacker.SpecError is SpecError


def test_a_bare_import_is_light() -> None:
    """Importing the package imports neither the pipeline nor its libraries."""
    program = "import stacker, sys; print(*(n for n in sys.modules if n.split('.')[0] in ('networkx', 'pydantic')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
