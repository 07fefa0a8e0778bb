"""Compiles functions for this processor with numba, on their first call with arrays of a type.

Compiled code is cached on disk by source file, beside the module or in the user's cache folder. Arithmetic is IEEE's in
the order written (no contraction, no reassociation), so all processors compute the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function as compiled code, which runs without the GIL."""
    made: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder is writable
        made._cache = _LenientCache(function)  # type: ignore[no-untyped-call]  # numba has no types
    return cast("F", made)


class _LenientCache(FunctionCache):
    """numba's cache, except that errors of the disk are ignored: the function is then compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba has no types
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba has no types
