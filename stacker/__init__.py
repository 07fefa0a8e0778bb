"""stacker: a composer of frankenmerges. `stacker.load(spec)` gives a Stack to preview, plan and build.

`stacker.search(space, objective)` searches for a better one; `stacker.load_space(spec)` makes the space.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stacker.version import VERSION

if TYPE_CHECKING:
    from stacker.compose import Stack, load
    from stacker.extraction import extract_lora
    from stacker.search.running.runs import search
    from stacker.searching.spaces import load_space
else:
    from stacker import search

__version__ = VERSION
__all__ = ["Stack", "__version__", "extract_lora", "load", "load_space", "search"]
_HOMES = {
    "Stack": "stacker.compose",
    "load": "stacker.compose",
    "load_space": "stacker.searching.spaces",
    "extract_lora": "stacker.extraction",
}
"""The module of each name that is imported when it is first used."""


class _CallablePackage(ModuleType):
    """The package `stacker.search`, which is also the function of that name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a search; see `stacker.search.running.runs.search`."""
        from stacker.search.running.runs import search

        return search(*arguments, **options)


search.__class__ = _CallablePackage


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, because the command line must start without the pipeline."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'stacker' has no attribute '{name}'")
