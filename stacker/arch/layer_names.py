"""Matches names of tensors that are stored outside the layers but belong to one layer or have a part for each layer.

An architecture lists patterns for these names. The pattern `queries.{i-1}` is for a tensor of layer i, `table[{i}]` for
a tensor `table` whose rows are divided among the layers, and `table[:, {i}]` for one whose columns are; `*` matches any
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ROWS, COLUMNS = "[{i}]", "[:, {i}]"
_AXES = {ROWS: 0, COLUMNS: 1}
_NUMBER = re.compile(r"\{i(?P<shift>[+-]\d+)?\}")


def match_outside_name(name: str, patterns: Iterable[str]) -> tuple[int | None, str] | None:
    """The index of the layer that a tensor belongs to, and the tensor's name with `{i}`; None if no pattern matches.

    The index is None for a tensor that has a part for each layer.
    """
    for pattern in patterns:
        cut = next((cut for cut in _AXES if pattern.endswith(cut)), None)
        if cut is not None:
            if _compile_pattern(pattern.removesuffix(cut)).fullmatch(name):
                return None, name + cut
        elif found := _compile_pattern(pattern).fullmatch(name):
            number = _NUMBER.search(pattern)
            shift = int(number["shift"] or 0) if number else 0
            begin, end = found.span(1)
            return int(found[1]) - shift, f"{name[:begin]}{number[0] if number else ''}{name[end:]}"
    return None


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    pieces = (re.escape(piece).replace(r"\*", ".*") for piece in _NUMBER.sub("\0", pattern).split("\0"))
    return re.compile(r"(\d+)".join(pieces))


def find_split_axis(suffix: str) -> int | None:
    """The axis along which a tensor is divided among the layers: 0 for "…[{i}]", 1 for "…[:, {i}]", otherwise None."""
    return next((axis for cut, axis in _AXES.items() if suffix.endswith(cut)), None)


def find_table_name(suffix: str) -> str:
    """The name of the whole tensor that has a part for each layer: "table" for the suffix "table[{i}]"."""
    return suffix.removesuffix(COLUMNS).removesuffix(ROWS)


def format_tensor_name(prefix: str, index: int, suffix: str) -> str:
    """The full name of a layer's tensor: `prefix` and `suffix`, with the layer index in place of `{i}`.

    The prefix is left out if the suffix contains `{i}`: the suffix "table[{i}]" becomes "table[3]" for layer 3.
    """
    whole = suffix if "{i" in suffix else prefix + suffix
    return _NUMBER.sub(lambda found: str(index + int(found["shift"] or 0)), whole)
