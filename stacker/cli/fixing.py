"""Corrects slips in a spec file for `check --fix`, and shows what was changed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from stacker.cli.terminal.printing import make_console
from stacker.errors import Problem, SpecError, StackerError

if TYPE_CHECKING:
    from stacker.spec.corrections import Correction

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def fix_spec(path: Path, values: Mapping[str, object], *, quiet: bool) -> tuple[Correction, ...]:
    """Correct the slips in a spec file whose hints know the answer, and print a diff unless `quiet`.

    SpecError if the spec is not a file of the user.
    """
    from stacker.io.donors.reader import read_donor, remember_donors
    from stacker.io.files.spec_files import read_spec_file, replace_spec_file
    from stacker.spec.corrections import correct_text
    from stacker.text.decoding import decode_text

    _check_own_file(path)
    written = read_spec_file(path)
    text = decode_text(written, str(path))
    find = partial(_find_problems, path=path, values=values, read=remember_donors(read_donor))
    fixed, corrections = correct_text(text, str(path), find)
    if corrections:
        mark = written[:3] if written.startswith(b"\xef\xbb\xbf") else b""
        replace_spec_file(path, mark + fixed.encode())
    if not quiet:
        _print_changes(str(path), text, fixed, len(corrections))
    return corrections


def _check_own_file(path: Path) -> None:
    from stacker.io.files.paths import is_file

    if not is_file(path, SpecError):
        hint = "stacker new RECIPE -o stack.yml writes a copy of a recipe"
        raise SpecError.of(f"--fix changes a spec file, and '{path}' is none", hint)


def _find_problems(text: str, path: Path, values: Mapping[str, object], read: Any) -> Sequence[Problem]:
    from stacker.compose import load_text

    try:
        return load_text(text.encode(), path, read=read, parameters=values).problems
    except StackerError as error:
        return error.problems


def _print_changes(name: str, before: str, after: str, count: int) -> None:
    console = make_console(stderr=True)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=1, lineterm="")
    for line in lines:
        console.print(Text(line, _STYLES.get(line[:1], "")), soft_wrap=True)
    words = f"{count} slip{'s'[: count != 1]} corrected" if count else "nothing to correct with certainty"
    console.print(f"{name}: {words}", soft_wrap=True)


def corrections_json(corrections: Sequence[Correction]) -> list[dict[str, Any]]:
    """Corrections as JSON values, with their places in the text as it was when each was made."""
    return [
        {"line": each.mark.line, "column": each.mark.column, "slip": each.slip, "answer": each.answer}
        for each in corrections
    ]
