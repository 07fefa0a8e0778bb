"""Lists every error and warning in stacker's source for docs/errors.md; `python -m tools.errors` writes the page.

Messages are read from the calls that make problems. What is filled in when the program runs is shown as `…`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errors.md"
START, END = "<!-- the list begins -->", "<!-- the list ends -->"
_CLASSES = ("SpecError", "DonorError", "UnsafeError", "StorageError", "LockedError", "VerifyError")
_HINT_AT = {
    "Problem": 1, "of": 1, "error": 1, "stop": 1, "note": 1, "ScalarError": 1, "ExpressionError": 1,
    "report": 2, "refuse": 2, "warn": 2,
}  # fmt: skip
"""Functions whose first argument is a message, and which argument is the hint."""

_Names = dict[str, tuple[str, ...]]
"""For each name, the texts that are given to it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that the source can print, with its hint; `kind` is the class of the error, or `warning` or `note`."""

    kind: str
    text: str
    hint: str


def read_messages(root: Path = ROOT / "stacker") -> list[Message]:
    """Every message in the modules below a folder, without duplicates, sorted by text."""
    found: dict[tuple[str, str], Message] = {}
    for path in sorted(root.rglob("*.py")):
        outside = "DonorError" if "hub" in path.parts else "SpecError"
        for message in _find_messages(ast.parse(path.read_text(encoding="utf-8")), outside):
            key = message.kind, message.text
            if key not in found or not found[key].hint:
                found[key] = message
    return sorted(found.values(), key=lambda message: message.text.lstrip("'…").lower())


def _find_messages(tree: ast.Module, outside: str) -> Iterator[Message]:
    """The messages of a module; `outside` is the kind of those that a function returns together with a hint."""
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = _read_names(tree) | _read_names(scope)
        for call in (node for node in ast.walk(scope) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if function in _HINT_AT and call.args:
                yield from _pair(_find_kind(call), call.args[0], call.args[_HINT_AT[function] :][:1], names)
        for pair in (node.value for node in ast.walk(scope) if isinstance(node, ast.Return)):
            if isinstance(pair, ast.Tuple) and len(pair.elts) == 2:
                yield from _pair(outside, pair.elts[0], pair.elts[1:], names)


def _pair(kind: str, message: ast.expr, hints: list[ast.expr], names: _Names) -> Iterator[Message]:
    """Each text that a message can have, if it has more than one word, with the first text of its hint."""
    hint = next((text for each in hints for text in _read_texts(each, names)), "")
    yield from (Message(kind, text, hint) for text in _read_texts(message, names) if " " in text.strip("… "))


def _read_names(scope: ast.Module | ast.FunctionDef) -> _Names:
    """The texts that are given to names directly in a module or a function."""
    lines = scope.body if isinstance(scope, ast.Module) else list(ast.walk(scope))
    found: _Names = {}
    for line in lines:
        if isinstance(line, ast.Assign) and isinstance(name := line.targets[0], ast.Name):
            found[name.id] = (*found.get(name.id, ()), *_read_texts(line.value, {}))
    return found


def _read_texts(value: ast.expr, names: _Names) -> tuple[str, ...]:
    """The texts that an expression can have."""
    match value:
        case ast.Constant(str(text)):
            return (text,)
        case ast.JoinedStr(parts):
            return ("".join(_fill(part, names) for part in parts),)
        case ast.Name(name):
            return names.get(name, ())
        case ast.IfExp(_, first, second):
            return (*_read_texts(first, names), *_read_texts(second, names))
    return ()


def _fill(part: ast.expr, names: _Names) -> str:
    """A fixed part of a message as it is, the text of a constant of the module, and `…` for anything else."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) and part.value.id.startswith("_"):
        return next(iter(names.get(part.value.id, ())), "…")
    return "…"


def _find_kind(call: ast.Call) -> str:
    """The class of an error, by the class that is called or by its `blame`; or else its severity."""
    marks = {each.arg: each.value.attr for each in call.keywords if each.arg and isinstance(each.value, ast.Attribute)}
    words = [each.attr for each in ast.walk(call) if isinstance(each, ast.Attribute)]
    if level := next((word for word in words if word in ("WARNING", "NOTE")), None):
        return level.lower()
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        named = call.func.value.id
        if named in _CLASSES:
            return named
    return f"{marks.get('blame', 'SPEC').title()}Error"


def list_messages(messages: list[Message]) -> str:
    """The list as Markdown: a heading for each kind, then each message with what to do."""
    parts = []
    for kind in (*_CLASSES, "warning", "note"):
        lines = [_line(message) for message in messages if message.kind == kind]
        parts += [f"### {kind}\n\n" + "\n".join(lines)] if lines else []
    return "\n\n".join(parts)


def _line(message: Message) -> str:
    hint = message.hint.strip().replace("\n", " ")
    return f"- {_code(message.text)}" + (f"  \n  {_code(hint)}" if hint.strip("… ") else "")


def _code(text: str) -> str:
    flat = " ".join(text.split())
    return f"`` {flat} ``" if "`" in flat else f"`{flat}`"


def fill_page(page: str, messages: list[Message]) -> str:
    """The page with the list between its two markers."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{list_messages(messages)}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), read_messages()), encoding="utf-8")
