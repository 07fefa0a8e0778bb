"""Element types, sizes with units, and sources of donors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import Mark, SpecError
from stacker.spec.language.value_grammar import (
    format_dtype,
    format_size,
    format_source,
    make_donor_name,
    parse_dtype,
    parse_size,
    parse_source,
)
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
    """Units are decimal, or binary with an i; a plain number is bytes."""
    assert parse_size(text, HERE) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-5GB", "5XB", "0", "1e9", "99999999TB", "0.5", "5 GB 3", "5G", "1_000", "9" * 400, "8bit"]
)
def test_bad_size(text: str) -> None:
    """Text that is not a size, and sizes out of range, are refused."""
    with pytest.raises(SpecError, match=r"not a size|out of range"):
        parse_size(text, HERE)


@given(st.integers(1, 10**15))
def test_shown_size(size: int) -> None:
    """A formatted size parses to exactly the same size."""
    assert parse_size(format_size(size), HERE) == size


def test_dtypes() -> None:
    """Names are those of config files; `keep` means the donors' types."""
    assert parse_dtype("bfloat16", HERE) is Dtype.BF16
    assert parse_dtype("keep", HERE) is None
    assert all(parse_dtype(format_dtype(dtype), HERE) is dtype for dtype in CONFIG_DTYPES.values())


@pytest.mark.parametrize(("name", "hint"), [("fp16", "write 'float16'"), ("bfloat61", "did you mean 'bfloat16'")])
def test_bad_dtype(name: str, hint: str) -> None:
    """Other names are refused with a hint of the right name."""
    with pytest.raises(SpecError, match=hint):
        parse_dtype(name, HERE)


@pytest.mark.parametrize(
    ("text", "source", "revision"),
    [
        pytest.param("org/name", "org/name", None, id="hub"),
        pytest.param("org/name@main", "org/name", "main", id="revision"),
        pytest.param("gpt2@refs/pr/3", "gpt2", "refs/pr/3", id="revision-with-slashes"),
        pytest.param("./folder@home", "./folder@home", None, id="folder-with-at"),
        pytest.param("/data/a@b", "/data/a@b", None, id="absolute-with-at"),
        pytest.param("~/m@1", "~/m@1", None, id="home-with-at"),
        pytest.param("a/b/c@d", "a/b/c@d", None, id="too-deep-for-a-hub-id"),
    ],
)
def test_parse_source(text: str, source: str, revision: str | None) -> None:
    """A revision is split off if the text before it can be a hub id."""
    donor = parse_source("x", text, HERE)
    assert (donor.source, donor.revision) == (source, revision)
    assert format_source(donor) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(" ", "empty source", id="empty"),
        pytest.param("https://huggingface.co/org/name", "write org/name", id="hub-address"),
        pytest.param("ftp://host/x", "is no address that can be read", id="other-address"),
        pytest.param("a\x1b[0m", "control characters", id="control"),
    ],
)
def test_bad_source(text: str, words: str) -> None:
    """URLs, empty text and control characters are refused."""
    with pytest.raises(SpecError, match=words):
        parse_source("x", text, HERE)


@pytest.mark.parametrize(
    ("source", "taken", "name"),
    [
        pytest.param("org/Name-7B", set(), "Name-7B", id="last-part"),
        pytest.param("./a b/", set(), "a-b", id="made-plain"),
        pytest.param("x/m", {"m", "m-2"}, "m-3", id="made-unique"),
        pytest.param("/", set(), "donor", id="nothing-left"),
    ],
)
def test_short_name(source: str, taken: set[str], name: str) -> None:
    """A mergekit donor is named by the last part of its path, reduced to valid characters and made unique."""
    assert make_donor_name(source, taken) == name
