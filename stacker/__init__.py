"""stacker: a composer of frankenmerges. `stacker.load(spec)` gives a Stack to preview, plan, build and run.

`stacker.search(space, objective)` searches for a better one; `stacker.load_space(spec)` makes the space, and
`stacker.sweep(spec, values)` tries all combinations of values of a spec's parameters. Errors are StackerErrors, whose
`problems` have a message, a hint and a place in the spec.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stacker.version import VERSION

if TYPE_CHECKING:
    from stacker.compose import Stack, load
    from stacker.distances import compare_weights
    from stacker.errors import (
        DonorError,
        LockedError,
        Problem,
        SpecError,
        StackerError,
        StorageError,
        UnsafeError,
        VerifyError,
    )
    from stacker.extraction import extract_lora
    from stacker.run.building import Built
    from stacker.search.running.runs import search
    from stacker.searching.spaces import load_space
    from stacker.searching.sweeping import sweep
else:
    from stacker import search

__version__ = VERSION
__all__ = [
    "Built", "DonorError", "LockedError", "Problem", "SpecError", "Stack", "StackerError", "StorageError",
    "UnsafeError", "VerifyError", "__version__", "compare_weights", "extract_lora", "load", "load_space", "search",
    "sweep",
]  # fmt: skip
_HOMES = {
    "Built": "stacker.run.building",
    "Stack": "stacker.compose",
    "load": "stacker.compose",
    "load_space": "stacker.searching.spaces",
    "sweep": "stacker.searching.sweeping",
    "compare_weights": "stacker.distances",
    "extract_lora": "stacker.extraction",
}
"""The modules of the names that are not in stacker.errors."""


class _CallablePackage(ModuleType):
    """The package `stacker.search`, which is also the function of that name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a search; see `stacker.search.running.runs.search`."""
        from stacker.search.running.runs import search

        return search(*arguments, **options)


search.__class__ = _CallablePackage


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, because the command line must start without the pipeline."""
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "stacker.errors")), name)
    raise AttributeError(f"module 'stacker' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The names of the API, so that `help(stacker)` shows them before they are imported."""
    return [*globals(), *__all__]
