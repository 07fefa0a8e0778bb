"""Damages inputs at random: bits, pieces, numbers, and values that parsers meet seldom."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

WORDS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"[]", b"{}", b"[[]]", b'""', b'"x"', b"10000000000",
    b"9" * 60, b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"..", b"/", b"\x1b[31m", b"[", b"{", b"&a",
    b"*a", b"!!python/object:x",
    b"? ", b": ", b"---\n", b"\t", b"~", b"${cut}", b"%", b"0x1F", b"'", b'"',
)  # fmt: skip
_VALUE = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?|\b\w+\b')
Mutation = Callable[[bytes, random.Random], bytes]


def mutate(data: bytes, source: random.Random) -> bytes:
    """Apply one to four random changes to the bytes of an input."""
    for _ in range(source.randint(1, 4)):
        data = source.choice(MUTATIONS)(data, source)
    return data


def _flip_bit(data: bytes, source: random.Random) -> bytes:
    place = source.randrange(len(data) or 1)
    return data[:place] + bytes(byte ^ 1 << source.randrange(8) for byte in data[place : place + 1]) + data[place + 1 :]


def _cut(data: bytes, source: random.Random) -> bytes:
    begin, end = _choose_piece(data, source)
    return data[:begin] + data[end:]


def _repeat(data: bytes, source: random.Random) -> bytes:
    begin, end = _choose_piece(data, source)
    return data[:end] + data[begin:end] * source.randint(1, 3) + data[end:]


def _insert_word(data: bytes, source: random.Random) -> bytes:
    place = source.randint(0, len(data))
    return data[:place] + source.choice(WORDS) + data[place:]


def _replace_value(data: bytes, source: random.Random) -> bytes:
    """Replace one number, word or text in quotes by another of the input, or by one of WORDS."""
    values = list(_VALUE.finditer(data))
    if not values:
        return _insert_word(data, source)
    old = source.choice(values)
    new = source.choice(values)[0] if source.random() < 0.4 else source.choice(WORDS)
    return data[: old.start()] + new + data[old.end() :]


def _choose_piece(data: bytes, source: random.Random) -> tuple[int, int]:
    begin = source.randint(0, len(data))
    return begin, min(len(data), begin + source.randint(1, 40))


MUTATIONS: tuple[Mutation, ...] = (_flip_bit, _cut, _repeat, _insert_word, _replace_value, _replace_value)
