"""Which bytes are accepted as text."""

from __future__ import annotations

import pytest

from stacker.errors import Mark, SpecError
from stacker.text.decoding import decode_text, make_mark


def test_byte_order_mark() -> None:
    """A UTF-8 byte order mark is dropped, from bytes and from a string."""
    assert decode_text(b"\xef\xbb\xbfa: 1", "s") == "a: 1"
    assert decode_text("\ufeffa: 1", "s") == "a: 1"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings(encoding: str) -> None:
    """UTF-16 and UTF-32 are recognised, with or without a byte order mark."""
    with pytest.raises(SpecError, match=r"encoded as UTF-(16|32)\n  hint: save it as UTF-8"):
        decode_text("stacker: 1\n".encode(encoding), "s")


def test_not_utf8() -> None:
    """The place of the first invalid byte is given in characters."""
    with pytest.raises(SpecError, match=r"^s:2:4: this text is not UTF-8: byte 0xe9"):
        decode_text("a: ü\nü: ".encode() + b"\xe9", "s")


@pytest.mark.parametrize("text", ["a: \x00", "a: \x1b[31m", "a: \x7f", "a: \ud800", "a: \ufffe"], ids=ascii)
def test_control_characters(text: str) -> None:
    """Characters that YAML excludes are refused with their code and place, and not printed."""
    with pytest.raises(SpecError, match=f"^s:1:4: the character U\\+{ord(text[3]):04X}"):
        decode_text(text, "s")


@pytest.mark.parametrize("text", [b"a" * 1_000_001, "a" * 1_000_001], ids=["bytes", "string"])
def test_too_large(text: str | bytes) -> None:
    """A text of more than a megabyte is refused."""
    with pytest.raises(SpecError, match="1,000,001 bytes, more than 1,000,000"):
        decode_text(text, "s")


def test_mark_at() -> None:
    """Lines and columns count from 1."""
    marks = [make_mark("ab\nc", offset, "s") for offset in (0, 2, 3)]
    assert marks == [Mark("s", 1, 1), Mark("s", 1, 3), Mark("s", 2, 1)]
