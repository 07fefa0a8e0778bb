"""Headers are read like the safetensors library reads them, except that ambiguous files are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors import deserialize as _deserialize

from stacker.errors import DonorError
from stacker.formats import safetensors
from stacker.formats.safetensors import Header, parse_header, parse_header_length
from stacker.io.files.headers import make_stamp, read_header
from stacker.tensors import DTYPES

HUGE = 2**64
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = _deserialize


def raw_header(table: Any) -> bytes:
    """Length field and JSON of a header; a string or bytes stand for themselves."""
    text = table if isinstance(table, bytes) else (table if isinstance(table, str) else json.dumps(table)).encode()
    return len(text).to_bytes(8, "little") + text


def tensor(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    """One entry of a header."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def parse(table: Any, data: int = 4) -> Header:
    """The header of a file with `data` bytes of data."""
    raw = raw_header(table)
    return parse_header(raw, len(raw) + data, "file")


def seen_by_library(raw: bytes, data: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    """Dtype, shape and bytes by name as the library reads them; None where it refuses."""
    try:
        return {name: (v["dtype"], v["shape"], bytes(v["data"])) for name, v in deserialize(raw + data)}
    except SafetensorError:
        return None


def seen_by_us(raw: bytes, data: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    """The same by our own reader."""
    file = raw + data
    try:
        header = parse_header(raw, len(file), "file")
    except DonorError:
        return None
    return {
        stored.spec.name: (
            stored.spec.dtype.label,
            list(stored.spec.shape),
            file[stored.begin : stored.begin + stored.nbytes],
        )
        for stored in header.tensors
    }


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 4), max_size=4)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A valid file: header and data; tensors in any order, escapes, spaces and metadata as writers may have them."""
    table: dict[str, Any] = {}
    end = 0
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        dtype = draw(st.sampled_from(sorted(DTYPES)))
        shape = draw(SHAPES)
        bits = DTYPES[dtype].bits
        for size in shape:
            bits *= size
        if bits % 8:
            continue
        table[name] = tensor(dtype, shape, (end, end + bits // 8))
        end += bits // 8
    entries = draw(st.permutations(list(table.items())))
    if draw(st.booleans()):
        entries = [("__metadata__", draw(st.dictionaries(NAMES, NAMES, max_size=2))), *entries]
    text = json.dumps(dict(entries), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    return raw_header(" " * draw(st.integers(0, 2)) + text + " " * draw(st.integers(0, 9))), os.urandom(end)


@QUICK
@given(files())
def test_sees_what_the_library_sees(file: tuple[bytes, bytes]) -> None:
    """Any valid file is read, with the library's names, dtypes, shapes and bytes."""
    assert seen_by_us(*file) is not None
    assert seen_by_us(*file) == seen_by_library(*file)


NUMBERS = st.sampled_from([0, 1, 2, 4, 8, -1, -0.0, 4.0, True, None, "4", HUGE - 1, HUGE, 2**63, 10**30])
ODD_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "I16", "F4", "F6_E2M3", "f32", "", None, 4]),
        "shape": st.lists(NUMBERS, max_size=3) | st.sampled_from([None, 4, "4"]),
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | st.lists(NUMBERS, max_size=3),
    }
)


@QUICK
@given(st.dictionaries(st.sampled_from("abc"), ODD_ENTRIES, max_size=2), st.integers(0, 8))
def test_refuses_what_the_library_refuses(table: dict[str, Any], data: int) -> None:
    """Entries with odd dtypes, shapes and offsets are accepted exactly where the library accepts them."""
    file = raw_header(table), bytes(data)
    assert seen_by_us(*file) == seen_by_library(*file)


@QUICK
@given(files(), st.data())
def test_damage_is_never_read_as_something_else(file: tuple[bytes, bytes], data: st.DataObject) -> None:
    """A header with a byte changed is refused, or means to us what it means to the library."""
    raw = bytearray(file[0])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    seen = seen_by_us(bytes(raw), file[1])
    assert seen is None or seen == seen_by_library(bytes(raw), file[1])


ENTRY = json.dumps(tensor())
LAXITIES = {
    "duplicate tensor": '{"a":' + ENTRY + ',"a":' + ENTRY + "}",
    "duplicate metadata key": '{"__metadata__":{"k":"1","k":"2"},"a":' + ENTRY + "}",
    "metadata null": {"__metadata__": None, "a": tensor()},
    "unknown field": {"a": tensor(strides=[1])},
    "65 dimensions": {"a": tensor(shape=[1] * 64 + [4])},
}


@pytest.mark.parametrize("table", LAXITIES.values(), ids=LAXITIES)
def test_refuses_two_readings_of_one_file(table: Any) -> None:
    """Files that the library accepts but others may read differently are refused."""
    assert seen_by_library(raw_header(table), bytes(4)) is not None
    with pytest.raises(DonorError):
        parse(table)


MALFORMED: dict[str, tuple[Any, str]] = {
    "not an object": ([], "not a JSON object"),
    "empty": ("", "not valid"),
    "cut-off JSON": ('{"a":', "not valid"),
    "not UTF-8": (b'{"\xff":1}', "not valid"),
    "byte order mark": ("\ufeff{}", "not valid"),
    "lone surrogate": ('{"\\ud800":' + ENTRY + "}", "not valid"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "NaN": ('{"a":NaN}', "NaN is not a whole number"),
    "fraction": ({"a": tensor(offsets=(0, 4.5))}, "4.5 is not a whole number"),
    "negative": ({"a": tensor(offsets=(-4, 0))}, "-4 is not a size"),
    "endless number": ('{"a":' + "9" * 5000 + "}", "not valid"),
    "text for metadata": ({"__metadata__": {"format": 1}, "a": tensor()}, "__metadata__"),
    "no offsets": ({"a": {"dtype": "U8", "shape": [4]}}, "must have dtype, shape and data_offsets"),
    "three offsets": ({"a": tensor(offsets=(0, 2, 4))}, "not sizes"),
    "backwards": ({"a": tensor(offsets=(4, 0))}, "not sizes"),
    "unknown dtype": ({"a": tensor(dtype="F128")}, "unknown dtype F128"),
    "wrong size": ({"a": tensor(shape=[5])}, "does not fill its 4 bytes"),
    "overflow": ({"a": tensor(shape=[2**63, 2, 0], offsets=(0, 0))}, "does not fill"),
    "endless": ({"a": tensor(offsets=(0, HUGE - 1))}, "does not fill"),
    "half a byte": ({"a": tensor(dtype="F4", shape=[7], offsets=(0, 4))}, "does not fill"),
    "hole": ({"a": tensor(shape=[2], offsets=(2, 4))}, "leaves a hole"),
    "overlap": ({"a": tensor(), "b": tensor(shape=[2], offsets=(2, 4))}, "overlaps"),
    "trailing bytes": ({"a": tensor(shape=[2], offsets=(0, 2))}, "2 bytes after its last tensor"),
    "data missing": ({"a": tensor(shape=[8], offsets=(0, 8))}, "need 8 bytes of data, but the file has only 4"),
}


@pytest.mark.parametrize(("table", "message"), MALFORMED.values(), ids=MALFORMED)
def test_says_what_is_wrong_with_a_header(table: Any, message: str) -> None:
    """Every kind of broken header has its own message, and the library refuses it too."""
    with pytest.raises(DonorError, match=message):
        parse(table)
    assert seen_by_library(raw_header(table), bytes(4)) is None


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A name that would move the cursor is accepted, and escaped where it is shown."""
    assert parse({"a\x1b[2J": tensor()}).tensors[0].spec.name == "a\x1b[2J"
    with pytest.raises(DonorError) as caught:
        parse({"a\x1b[2J\u202e": tensor(shape=[3])})
    assert "a\\x1b[2J\\u202e" in str(caught.value)
    assert "\x1b" not in str(caught.value)


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has 0 bytes"),
    "seven bytes": (b"1234567", "has 7 bytes"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    "web page": (b"<!DOCTYPE html><html><body>403</body></html>", "web page"),
    "zip": (b"PK\x03\x04" + bytes(60), "zip archive"),
    "pickle": (b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.", "pickle"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(40), "GGUF file"),
    "header past the end": ((1000).to_bytes(8, "little") + b"{}", "claims 1000 bytes"),
    "header of 2**63": ((2**63).to_bytes(8, "little") + b"{}", "claims 9223372036854775808 bytes"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_names_what_a_file_really_is(tmp_path: Path, content: bytes, message: str) -> None:
    """Cut-off downloads, pointers and pages are told from safetensors files, with the file's name."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(DonorError, match=message) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_reads_a_header_from_a_file(tmp_path: Path) -> None:
    """Offsets count from the start of the file; the digest is that of the bytes before the data."""
    raw = raw_header({"b": tensor(shape=[1], offsets=(3, 4)), "a": tensor(shape=[3], offsets=(0, 3))})
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw + b"xyzw")
    header = read_header(path)
    assert [(t.spec.name, t.begin, t.nbytes) for t in header.tensors] == [("a", len(raw), 3), ("b", len(raw) + 3, 1)]
    assert (header.data_start, header.size, header.stamp) == (len(raw), len(raw) + 4, make_stamp(path.stat()))
    assert header.digest == parse_header(raw, len(raw) + 4, "elsewhere").digest


def test_a_header_that_was_cut_off_is_refused() -> None:
    """Fewer bytes than the length field promises are no header."""
    raw = raw_header({"a": tensor()})
    with pytest.raises(DonorError, match="cut off"):
        parse_header(raw[:-1], len(raw) + 4, "file")


def test_bombs_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Length, brackets, and number of tensors are bounded."""
    with pytest.raises(DonorError, match="stacker reads at most"):
        parse_header_length((10**8).to_bytes(8, "little"), 10**9, "file")
    monkeypatch.setattr(safetensors, "MAX_TENSORS", 10)
    with pytest.raises(DonorError, match="far larger than any list"):
        parse('{"a":[' + ",".join(["[]"] * 100) + "]}")
    with pytest.raises(DonorError, match="names 11 tensors"):
        parse({str(number): tensor(shape=[0], offsets=(0, 0)) for number in range(11)}, 0)
