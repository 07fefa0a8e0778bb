"""Arrays for tests of both backends, and comparisons of their results as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stacker.arithmetic.backend import Backend
from stacker.arithmetic.torch_backend import TorchBackend

Numbers = np.ndarray[Any, np.dtype[Any]]
SIZES = [1, 63, 64, 65, 1023, 1025, 5000]
"""Lengths around the lanes of inner products and the chunks of sums, and several chunks."""
KINDS = [np.float32, np.float64]
ODD = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-39, 3e38, -3e38, 1.0, -1.0)
"""NaN, infinities, both zeros, numbers below the least normal one, and near the largest of fp32."""


def numbers(count: int, kind: Any, seed: int = 0) -> Numbers:
    """Standard normal numbers."""
    found: Numbers = np.random.default_rng(seed).standard_normal(count).astype(kind)
    return found


def several(many: int, count: int, kind: Any) -> list[Numbers]:
    return [numbers(count, kind, seed) for seed in range(many)]


def odd(count: int, kind: Any, seed: int = 0) -> Numbers:
    """Standard normal numbers, about half of them replaced by entries of ODD."""
    found, chance = numbers(count, kind, seed), np.random.default_rng(1000 + seed)
    places = chance.random(count) < 0.5
    found[places] = chance.choice(np.array(ODD, kind), count)[places]
    return found


def put(backend: Backend, values: Numbers) -> Any:
    """A copy of the values as an array of the backend."""
    return torch.from_numpy(values.copy()) if isinstance(backend, TorchBackend) else values.copy()


def put_all(backend: Backend, each: Sequence[Numbers]) -> list[Any]:
    return [put(backend, values) for values in each]


def got(array: Any) -> Numbers:
    """The result as a numpy array; masks of either backend become bool."""
    found = np.asarray(array)
    return found != 0 if found.dtype in (np.bool_, np.int32) else found


def wide(each: Sequence[Numbers]) -> list[Numbers]:
    return [values.astype(np.float64) for values in each]


def check_close(found: Any, exact: Numbers, kind: Any, size: float | Numbers = 1.0) -> None:
    """Asserts equality to a few roundings of numbers of that `size`, with NaN and infinities in the same places."""
    values, wanted = got(found), exact.astype(kind)
    assert values.dtype == kind
    assert np.array_equal(np.isnan(values), np.isnan(wanted))
    there, endless = np.isfinite(wanted), np.isinf(wanted)
    assert np.array_equal(values[endless], wanted[endless])
    slack = 8 * np.finfo(kind).eps * np.maximum(size, abs(exact)) + 2 * float(np.finfo(kind).smallest_subnormal)
    assert (abs(values[there] - exact[there]) <= slack[there]).all()
