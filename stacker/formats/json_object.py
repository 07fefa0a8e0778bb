"""Parses JSON files of donors strictly: one object, no NaN, no key with two values. Formats JSON for output files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.garbage_collector import pause_collector

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
MAX_JSON_BYTES = 16_000_000
_MAX_DIGITS = 40
_LONG_NUMBER = re.compile(rb"\d{41}")
MOST_VALUES = 200_000
MOST_TENSORS = 500_000
"""For the index of a checkpoint: the largest of 2026 name some 200,000 tensors."""
MANY_VALUES = 2_000_000
"""For files that are larger than settings: the largest tokenizer.json of 2026, Gemma 3's, has 1.3 million values."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(data: bytes, where: str | Path, most: int = MOST_VALUES) -> dict[str, Json]:
    """Parse the bytes of a JSON file that must contain one object, as `parse_json` does.

    DonorError for anything but an object, and for what `parse_json` refuses.
    """
    value = parse_json(data, where, most)
    if not isinstance(value, dict):
        raise DonorError.of("this is not a JSON object", suggest_repair(data), Mark(str(where)))
    return value


@pause_collector()
def parse_json(data: bytes, where: str | Path, most: int = MOST_VALUES) -> Json:
    """Parse the bytes of a JSON file; `where` names the file in messages.

    DonorError for invalid JSON, for NaN, for integers of more than 40 digits, for a key that appears twice with
    different values, and for more than `most` values, roughly counted, which would take too much memory.
    """
    if data.count(b",") > most or data.count(b"[") + data.count(b"{") > most:
        raise DonorError.of(f"this file has more than {most:,} values", "", Mark(str(where)))
    try:
        text = data.decode("utf-8")
        parse_int = _parse_integer if _LONG_NUMBER.search(data) else int  # int is ten times as fast
        value: Json = json.loads(
            text, object_pairs_hook=_merge_pairs, parse_int=parse_int, parse_constant=_parse_constant
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else escape_text(str(error), 200)
        raise DonorError.of(f"this is not valid JSON: {reason}", suggest_repair(data), Mark(str(where))) from error
    return value


def format_json(content: Any) -> bytes:
    """The bytes of a JSON file with this content: indented by two spaces, UTF-8, with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def suggest_repair(data: bytes) -> str:
    """The hint for a file that is not a JSON object: how to repair a Git LFS pointer, a web page or a damaged file."""
    if data.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: run `git lfs pull` in the donor's folder"
    if data.lstrip().startswith(b"<"):
        return "it is a web page: download the file again, signed in if it is gated"
    return "fetch the file again, or repair it"


def _merge_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of the keys and values of a JSON object; ValueError when a key is repeated with a different value."""
    table: dict[str, Any] = dict(pairs)
    if len(table) == len(pairs):
        return table
    table = {}
    for key, value in pairs:
        if key in table and table[key] != value:
            raise ValueError(f"'{escape_text(key)}' appears twice, with different values")
        table[key] = value
    return table


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _parse_constant(word: str) -> float:
    """Parse `Infinity` or `-Infinity`, which some published configs contain; ValueError for `NaN`."""
    if word == "NaN":
        raise ValueError("NaN is not a number")
    return float(word)
