"""Functions compiled for this processor by numba, when they are first called with arrays of a type.

What was compiled is kept on disk, beside the module or in the user's cache, where either can be written to. Arithmetic
is IEEE's, in the order written: nothing is contracted or reassociated, so any processor gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function, compiled; it runs without Python's lock."""
    made: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder to keep it in
        made._cache = _Kept(function)  # type: ignore[no-untyped-call]  # numba's have no types
    return cast("F", made)


class _Kept(FunctionCache):
    """numba's own, but that a disk which is full costs time and not the build: what was not kept is compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba's have no types
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # numba's have no types
