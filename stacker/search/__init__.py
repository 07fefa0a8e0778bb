"""Finds better stacks: sweeps and searches, above `measure` and below `view`. The package is also called as a function.

`stacker.search(space, objective)` runs a search; see `stacker.search.runs.search`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a search."""
        from stacker.search.runs import search

        return search(*arguments, **options)


sys.modules[__name__].__class__ = _Package
