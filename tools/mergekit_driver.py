"""A pytest plugin that makes mergekit's own tests merge with stacker; it runs in mergekit's environment.

The environment variable `STACKER` has the stacker command. A test that calls it gets the property `driven` in pytest's
report.
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
"""The exit code of stacker for a wrong spec; mergekit raises ValueError instead."""
_driven: set[str] = set()


def run_merge(config: Any, out_path: str, **_: object) -> None:
    """Replace mergekit's `run_merge` by `stacker build`; errors of stacker become ValueError or RuntimeError."""
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
    """Replace mergekit's function before any test imports it."""
    merging: Any = importlib.import_module("mergekit.merge")
    merging.run_merge = run_merge


@pytest.fixture(autouse=True)
def _mark_driven(request: pytest.FixtureRequest, record_property: Any) -> Iterator[None]:
    yield
    if any(test.startswith(request.node.nodeid) for test in _driven):
        record_property("driven", "yes")
