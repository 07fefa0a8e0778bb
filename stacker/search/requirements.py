"""Imports the packages of the extra `search` when they are needed, and says what to install if they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from stacker.errors import SpecError


def import_package(name: str) -> Any:
    """The module of a package of the extra `search`; SpecError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SpecError.of(f"searching needs the package {name}", "run: pip install 'stacker-llm[search]'") from error
