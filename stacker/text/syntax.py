"""Explains PyYAML's syntax errors: what is wrong in the text and what to write instead."""

from __future__ import annotations

import re

import yaml

from stacker.errors import Mark, Problem
from stacker.text.node import shorten

_SLICE = re.compile(r"[\w.-]+\s*\[[^\[\]]*\]")
_PARAMETER = re.compile(r"[^\s,\[\]{}:]*\$\{[^{}]*\}[^\s,\[\]{}]*")
_BRACKETS = {"sequence": ("list", "]"), "mapping": ("mapping", "}")}


def explain_syntax_error(error: yaml.YAMLError, text: str, source: str) -> Problem:
    """The problem to report for a PyYAML error, with line and column and a hint at what to write instead."""
    spot = _find_spot(error)
    if spot is None:
        return Problem("this text is not YAML", str(error), Mark(source))
    lines = text.splitlines() or [""]
    line = lines[spot.line] if spot.line < len(lines) else ""
    message, hint = _explain(error, line, spot.column, lines)
    return Problem(message, hint, Mark(source, spot.line + 1, spot.column + 1))


def _find_spot(error: yaml.YAMLError) -> yaml.Mark | None:
    """Where the mistake is; None if PyYAML does not say.

    The place of a missing colon is where the key begins, not where PyYAML notices that the colon is missing.
    """
    noticed: yaml.Mark | None = getattr(error, "problem_mark", None)
    begun: yaml.Mark | None = getattr(error, "context_mark", None)
    if begun and "expected ':'" in str(getattr(error, "problem", "")):
        return begun
    return noticed or begun


def _explain(error: yaml.YAMLError, line: str, column: int, lines: list[str]) -> tuple[str, str]:
    problem, context = str(getattr(error, "problem", "") or ""), str(getattr(error, "context", "") or "")
    rest = line[column:]
    if "flow sequence" in context or "flow mapping" in context:
        return _explain_brackets(context, line, column, getattr(error, "context_mark", None))
    if "cannot start any token" in problem or "tab character" in problem:
        return _explain_start(rest[:1])
    if "mapping values are not allowed" in problem:
        return _explain_second_colon(line, column)
    if "sequence entries are not allowed" in problem:
        return "a list cannot begin on the line of its key", "put '- ' on a line of its own, below the key"
    if "expected ':'" in problem:
        return _explain_missing_colon(error, lines)
    if "scalar" in context and "end of stream" in problem:
        return "this quote is never closed", "add the closing quote"
    if "escape character" in problem:
        return "an unknown escape in double quotes", "write \\\\ for a backslash, or use single quotes"
    if "block collection" in context or "block mapping" in context:
        return (
            f"{_quote_rest(rest)} does not fit here",
            "keys of one mapping, and items of one list, begin in the same column",
        )
    if "node content" in problem:
        return f"expected a value here, not {_quote_rest(rest)}", "quote it if it is text"
    return f"this is not YAML: {problem or context or error}", ""


def _explain_brackets(context: str, line: str, column: int, opened: yaml.Mark | None) -> tuple[str, str]:
    name, closing = next(words for kind, words in _BRACKETS.items() if kind in context)
    found = (match for form in (_SLICE, _PARAMETER) for match in form.finditer(line))
    bare = next((match for match in found if match.start() <= column <= match.end()), None)
    if bare:
        return (
            f"inside [ ] and {{ }} YAML does not allow a bare {bare[0]}",
            f'quote it: "{bare[0]}"; or write a list with one item a line, each after "- "',
        )
    place = f" opened on line {opened.line + 1}" if opened else ""
    return f"this {name}{place} is not closed, or a comma is missing", f"separate with ',' and close with '{closing}'"


def _explain_start(char: str) -> tuple[str, str]:
    if char == "\t":
        return "a tab is not allowed here", "indent with spaces"
    return f"a value cannot begin with {char}", "quote it"


def _explain_second_colon(line: str, column: int) -> tuple[str, str]:
    if ":" in line[:column]:
        return (
            "a second ': ' on this line",
            'quote the value if it is text: key: "a: b"; or put the inner key on a line of its own',
        )
    return "this key is indented deeper than the line above allows", "keys of one mapping begin in the same column"


def _explain_missing_colon(error: yaml.YAMLError, lines: list[str]) -> tuple[str, str]:
    mark = getattr(error, "context_mark", None)
    line = lines[mark.line].strip() if mark and mark.line < len(lines) else ""
    return f"'{shorten(line)}' is neither a key with a value nor an item of a list", "write 'key: value', or '- item'"


def _quote_rest(rest: str) -> str:
    return f"'{shorten(rest.strip())}'" if rest.strip() else "the end of the text"
