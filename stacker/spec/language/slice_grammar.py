"""Parses and formats slices: `xwin[0:16]`, `xwin[5]`, `xwin[8:]`, `xwin[:16]`, `xwin[:]`, `xwin`.

Ranges are half-open, layers count from 0, and whether a donor has enough layers is checked elsewhere.
"""

from __future__ import annotations

import re

from stacker.errors import Mark, SpecError
from stacker.spec.language.stack_spec import SliceSpec
from stacker.text.node import shorten

NAME = re.compile(r"[A-Za-z0-9_.-]+")
MOST_LAYERS = 10_000
_SLICE = re.compile(r"\s*(?P<donor>[A-Za-z0-9_.-]+)\s*(?:\[(?P<range>[^\[\]]*)\]\s*)?")
_RANGE = re.compile(r"\s*(?P<start>[0-9]*)\s*(?P<colon>:?)\s*(?P<stop>[0-9]*)\s*")
_PAIR = re.compile(r"\s*([0-9]+)\s*(?:,|-|\.\.\.?|to|;)\s*([0-9]+)\s*")
_FORM = "write donor[first:last+1], for instance xwin[0:16] for the first 16 layers, xwin[5] for one, xwin for all"


def parse_slice(text: str, mark: Mark | None = None) -> SliceSpec:
    """The slice in a text such as `xwin[0:16]`.

    Raises SpecError with a hint at what to write instead if the text is not a slice.
    """
    match = _SLICE.fullmatch(text)
    if not match:
        raise SpecError.of(f"'{shorten(text)}' is not a slice", _advise_slice(text), mark)
    if match["range"] is None:
        return SliceSpec(match["donor"], mark=mark)
    start, stop = _parse_range(match["donor"], match["range"], mark)
    return SliceSpec(match["donor"], start, stop, mark=mark)


def format_slice(piece: SliceSpec) -> str:
    """A slice as text, such as `xwin[0:16]`, without its factors and parameters."""
    if piece.start is None and piece.stop is None:
        return piece.donor
    if piece.start is not None and piece.stop == piece.start + 1:
        return f"{piece.donor}[{piece.start}]"
    start, stop = ("" if bound is None else str(bound) for bound in (piece.start, piece.stop))
    return f"{piece.donor}[{start}:{stop}]"


def count_written_layers(piece: SliceSpec) -> int | None:
    """The number of layers of a slice; None if `stop` is None, as the slice then ends with its donor's last layer."""
    return None if piece.stop is None else piece.stop - (piece.start or 0)


def _parse_range(donor: str, text: str, mark: Mark | None) -> tuple[int | None, int | None]:
    match = _RANGE.fullmatch(text)
    if not match or not (match["colon"] or match["start"]):
        raise SpecError.of(f"'[{shorten(text)}]' is not a range of layers", _advise_range(donor, text), mark)
    if any(len(match[bound]) > len(str(MOST_LAYERS)) for bound in ("start", "stop")):
        raise SpecError.of(f"'{shorten(donor + '[' + text + ']')}' is past the last layer of any donor", "", mark)
    start, stop = (int(match[bound]) if match[bound] else None for bound in ("start", "stop"))
    if start is not None and not match["colon"]:
        return start, start + 1
    _check_order(donor, start or 0, stop, mark)
    return start, stop


def _check_order(donor: str, start: int, stop: int | None, mark: Mark | None) -> None:
    if stop is None or stop > start:
        return
    shown = f"{donor}[{start}:{stop}]"
    if stop == start:
        hint = f"ranges are half-open: {donor}[{start}:{start + 1}] is one layer; remove the slice if none was meant"
        raise SpecError.of(f"slice {shown} is empty", hint, mark)
    hint = f"write {donor}[{stop}:{start}]; a slice keeps its donor's order, so to reverse layers list them one by one"
    raise SpecError.of(f"slice {shown} runs backwards", hint, mark)


def _advise_slice(text: str) -> str:
    if "/" in text:
        return "a hub id or folder is named once under 'donors'; a slice uses that name"
    if " -" in text:
        return "is this two items? each begins on its own line with '- ', the dash followed by a space"
    if text.count("[") != text.count("]"):
        return "a bracket is not closed, or there is one too many"
    match = re.fullmatch(r"\s*([A-Za-z0-9_.-]+)\s*[\s:(]\s*([0-9]*\s*:\s*[0-9]*|[0-9]+)\s*\)?\s*", text)
    if match and match[1].isdigit():
        return f"a slice begins with its donor's name: xwin[{text.strip()}]"
    if match:
        return f"write {match[1]}[{match[2].replace(' ', '')}]"
    return f"{_FORM}\na name is made of letters, digits, '_', '-' and '.'"


def _advise_range(donor: str, text: str) -> str:
    pair = _PAIR.fullmatch(text)
    if pair:
        return f"write {donor}[{pair[1]}:{pair[2]}], where layer {pair[2]} is not included"
    if text.count(":") > 1:
        return "there is no step in a range; list the slices one by one"
    if "-" in text:
        return "layers count from 0 and never from the end; write the layer's number"
    if "." in text:
        return "layers are whole numbers"
    return _FORM
