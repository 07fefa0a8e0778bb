"""JSON files of donors, parsed by us: one object, no number that is none, no key with two meanings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stacker.errors import DonorError, Mark, escape_text

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
MAX_JSON_BYTES = 16_000_000
_MOST_DIGITS = 40
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(data: bytes, where: str | Path) -> dict[str, Json]:
    """The object that a JSON file holds; DonorError for anything else, for NaN, endless numbers and contradictions."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_without_contradiction, parse_int=_whole, parse_constant=_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else escape_text(str(error), 200)
        raise DonorError.of(f"this is not valid JSON: {reason}", _advice(data), Mark(str(where))) from error
    if not isinstance(value, dict):
        raise DonorError.of("this is not a JSON object", _advice(data), Mark(str(where)))
    return value


def format_json(content: Any) -> bytes:
    """JSON text for a file: indented by two spaces, UTF-8, with a final newline."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _advice(data: bytes) -> str:
    if data.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: run `git lfs pull` in the donor's folder"
    if data.lstrip().startswith(b"<"):
        return "it is a web page: download the file again, signed in if it is gated"
    return "fetch the file again, or repair it"


def _without_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table and table[key] != value:
            raise ValueError(f"'{escape_text(key)}' is there twice, with different values")
        table[key] = value
    return table


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _constant(word: str) -> float:
    """Infinity stands in real configs (a time step without bound); NaN says nothing."""
    if word == "NaN":
        raise ValueError("NaN is not a number")
    return float(word)
