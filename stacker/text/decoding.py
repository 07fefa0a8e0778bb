"""Decodes the text of a spec, which must be UTF-8, of limited size and without control characters."""

from __future__ import annotations

import re

from stacker.errors import Mark, SpecError

MOST_BYTES = 1_000_000
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDE = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def decode_text(text: str | bytes, source: str) -> str:
    """The decoded text without its byte order mark.

    SpecError if the text is too large, not UTF-8, or has control characters; `source` is the text's name in messages.
    """
    size = len(text)
    if size > MOST_BYTES:
        raise SpecError.of(
            f"this text has {size:,} bytes, more than {MOST_BYTES:,}",
            "is this the right file? a spec is a few lines of YAML, never weights",
            Mark(source),
        )
    content = (_decode_utf8(text, source) if isinstance(text, bytes) else text).removeprefix("\ufeff")
    forbidden = _FORBIDDEN.search(content)
    if forbidden:
        raise SpecError.of(
            f"the character U+{ord(forbidden[0]):04X} is not allowed in YAML",
            "remove it; inside double quotes it can be written as an escape, such as \\x01",
            make_mark(content, forbidden.start(), source),
        )
    return content


def make_mark(text: str, offset: int, source: str) -> Mark:
    """The line and column of the character at index `offset` of `text`; `source` is the text's name in messages."""
    line = text.count("\n", 0, offset) + 1
    return Mark(source, line, offset - text.rfind("\n", 0, offset))


def _decode_utf8(content: bytes, source: str) -> str:
    wide = next((name for start, name in _WIDE if content.startswith(start)), "UTF-16" if b"\0" in content[:4] else "")
    if wide:
        raise SpecError.of(f"this text is encoded as {wide}", "save it as UTF-8", Mark(source))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise SpecError.of(
            f"this text is not UTF-8: byte 0x{content[error.start]:02x} is invalid",
            "save it as UTF-8",
            make_mark(before, len(before), source),
        ) from error
