"""stacker: a composer of frankenmerges. `stacker.load(spec)` gives a Stack to preview, plan and build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stacker.version import VERSION

if TYPE_CHECKING:
    from stacker.compose import Stack, load
    from stacker.distances import compare_weights
    from stacker.extraction import extract_lora

__version__ = VERSION
__all__ = ["Stack", "__version__", "compare_weights", "extract_lora", "load"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, because the command line must start without the pipeline."""
    if name in ("Stack", "load"):
        from stacker import compose

        return getattr(compose, name)
    if name == "compare_weights":
        from stacker.distances import compare_weights

        return compare_weights
    if name == "extract_lora":
        from stacker.extraction import extract_lora

        return extract_lora
    raise AttributeError(f"module 'stacker' has no attribute '{name}'")
