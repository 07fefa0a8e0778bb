"""stacker: a composer of frankenmerges. `stacker.load(spec)` gives a Stack to preview, plan and build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stacker.version import VERSION

if TYPE_CHECKING:
    from stacker.compose import Stack, load

__version__ = VERSION
__all__ = ["Stack", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `Stack` or `load` when it is first used, because the command line must start without the pipeline."""
    if name in ("Stack", "load"):
        from stacker import compose

        return getattr(compose, name)
    raise AttributeError(f"module 'stacker' has no attribute '{name}'")
