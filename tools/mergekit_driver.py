"""A pytest plugin for mergekit's own tests: what they merge is built by stacker. Runs in mergekit's environment.

`STACKER` is the command, in words; a test that drove it has the property `driven` in pytest's report.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SPEC = 2
"""The exit code of a spec that is wrong: mergekit's ValueError."""
_driven: set[str] = set()


def run_merge(config: Any, out_path: str, **_: object) -> None:
    """What mergekit's function does, done by `stacker build`; its words as ValueError or RuntimeError."""
    _driven.add(os.environ["PYTEST_CURRENT_TEST"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yml"
        path.write_text(config.to_yaml(), encoding="utf-8")
        words = [*os.environ["STACKER"].split(), "build", str(path), out_path, "--quiet", "--force"]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(words, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error: " in line]
        kind = ValueError if done.returncode == _SPEC else RuntimeError
        raise kind("; ".join(line.partition("error: ")[2] for line in errors) or done.stderr)


def pytest_configure() -> None:
    """Put stacker in the place of mergekit before any test takes it by name."""
    merging: Any = importlib.import_module("mergekit.merge")
    merging.run_merge = run_merge


@pytest.fixture(autouse=True)
def _mark_driven(request: pytest.FixtureRequest, record_property: Any) -> Iterator[None]:
    yield
    if any(test.startswith(request.node.nodeid) for test in _driven):
        record_property("driven", "yes")
