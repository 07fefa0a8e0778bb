"""Writes parts of a Markdown file: prose, code and tables with texts that may contain anything.

Names, config values and messages come from files that are not trusted. They must be shown as text, and never become
HTML, links, images or headings. Sources: CommonMark 0.31, GitHub Flavored Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stacker.errors import escape_text

_SPECIAL = re.compile(r"[\\`*<>&|~$]|(?<=\])[(\[:]|!(?=\[)|^[#=+-]|_(?![^\W_])|(?<![^\W_])_")
"""Characters that begin or end markup where they stand.

Brackets do so only before another bracket or a colon, and underscores only at the edge of a word.
"""
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
"""Matches the beginning of an item of a numbered list."""
_BACKTICKS = re.compile(r"`+")
_MOST_CHARACTERS = 2000


def escape_markdown(text: str) -> str:
    """The Markdown that shows `text` as it is, on one line."""
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(_escape, _make_printable(text)))


def _make_printable(text: str) -> str:
    return escape_text(text, _MOST_CHARACTERS).strip()


def _escape(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}")


def code_span(text: str) -> str:
    """The Markdown that shows `text` on one line as code."""
    safe = _make_printable(text)
    if "`" not in safe:
        return f"`{safe}`"
    ticks = "`" * (_longest_run(safe) + 1)
    return f"{ticks} {safe} {ticks}"


def code_block(language: str, text: str) -> str:
    """The Markdown that shows the lines of `text` as a block of code in `language`."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks in `text`; 0 if there are none."""
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; each cell is Markdown of one line, in which `|` has been escaped or is in a code span."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_PIPE.sub(r"\\|", cell) for cell in line) + " |" for line in lines)


_PIPE = re.compile(r"(?<!\\)\|")
