"""stacker: a composer of frankenmerges. `stacker.load(spec)` gives a Stack to preview, plan, build and run.

Errors are StackerErrors, whose `problems` have a message, a hint and a place in the spec.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stacker.version import VERSION

if TYPE_CHECKING:
    from stacker.compose import Stack, load
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
    from stacker.run.building import Built

__version__ = VERSION
__all__ = [
    "Built", "DonorError", "LockedError", "Problem", "SpecError", "Stack", "StackerError", "StorageError",
    "UnsafeError", "VerifyError", "__version__", "load",
]  # fmt: skip
_HOMES = {"Built": "stacker.run.building", "Stack": "stacker.compose", "load": "stacker.compose"}
"""The modules of the names that are not in stacker.errors."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, because the command line must start without the pipeline."""
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "stacker.errors")), name)
    raise AttributeError(f"module 'stacker' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The names of the API, so that `help(stacker)` shows them before they are imported."""
    return [*globals(), *__all__]
