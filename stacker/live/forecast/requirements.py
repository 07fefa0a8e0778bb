"""Checks that the packages are installed that live stacks need. Imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from stacker.errors import SpecError

PACKAGES = ("torch", "transformers", "accelerate", "safetensors")
"""The packages of the extra `live`, by the names they are imported by."""


def check_installed() -> None:
    """Raise a SpecError that names the packages of the extra `live` that are not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        message = f"running a stack needs {' and '.join(missing)}, not installed here"
        raise SpecError.of(message, "pip install 'stacker-llm[live]'; building and looking work without")
