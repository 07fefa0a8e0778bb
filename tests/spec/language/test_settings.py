"""Element types by name and sizes with units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import Mark, SpecError
from stacker.spec.language.settings import parse_dtype, parse_size, shown_dtype, shown_size
from stacker.tensors import CONFIG_DTYPES, Dtype

HERE = Mark("s", 1, 1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5_000_000_000), ("5 gb", 5_000_000_000), ("2GiB", 2 << 30), ("1.5MB", 1_500_000), ("800kB", 800_000),
        ("1KiB", 1024), ("7", 7), (7, 7), ("7B", 7), ("1TB", 10**12),
    ],
    ids=str,
)  # fmt: skip
def test_size(text: str | int, size: int) -> None:
    """Units are decimal, or binary with an i; without one they are bytes."""
    assert parse_size(text, HERE) == size


@pytest.mark.parametrize("text", ["", "GB", "-5GB", "5XB", "0", "1e9", "99999999TB", "0.5", "5 GB 3"])
def test_bad_size(text: str) -> None:
    """What is no size, or none that a file could have, is refused."""
    with pytest.raises(SpecError, match=r"not a size|cannot have"):
        parse_size(text, HERE)


@given(st.integers(1, 10**15))
def test_shown_size(size: int) -> None:
    """A size reads back exactly from the way it is shown."""
    assert parse_size(shown_size(size), HERE) == size


def test_dtypes() -> None:
    """The names are those of config files; `keep` keeps the donors'."""
    assert parse_dtype("bfloat16", HERE) is Dtype.BF16
    assert parse_dtype("keep", HERE) is None
    assert all(parse_dtype(shown_dtype(dtype), HERE) is dtype for dtype in CONFIG_DTYPES.values())


@pytest.mark.parametrize(("name", "hint"), [("fp16", "write 'float16'"), ("bfloat61", "did you mean 'bfloat16'")])
def test_bad_dtype(name: str, hint: str) -> None:
    """Other names lead to the right one."""
    with pytest.raises(SpecError, match=hint):
        parse_dtype(name, HERE)
