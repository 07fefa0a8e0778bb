"""Compiles functions with numba for this computer's CPU, when they are first called with arrays of a new type.

The compiled code is cached on disk, beside the module or in the user's cache folder. The code does IEEE arithmetic in
exactly the order written (no contraction, no reassociation), so all CPUs compute identical bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function with numba; the compiled function releases the GIL while it runs."""
    made: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder is writable
        made._cache = _LenientCache(function)  # type: ignore[no-untyped-call]  # numba has no types
    return cast("F", made)


class _LenientCache(FunctionCache):
    """numba's cache on disk; after an OSError a function is compiled again instead of loaded, or is not saved."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba has no types
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba has no types
