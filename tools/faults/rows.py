"""The table of what was tried: a row for each attack, and its text in docs/reliability.md."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_TABLE = re.compile(r"(<!-- made by `make faults` -->\n).*?(<!-- end -->)", re.DOTALL)
_LINE = re.compile(r"\| (?P<subject>[^*|]+) \| (?P<attack>[^|]+) \| (?P<tried>[\d,]+) \| (?P<held>[\d,]+) \|")


class NotPossibleError(Exception):
    """A trial cannot be made on this machine."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An attack that makes one row of the table; `run` returns what was found at each attempt, "" where nothing was."""

    subject: str
    attack: str
    run: Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what was attacked and how, how often, and how often the promise held."""

    subject: str
    attack: str
    tried: int
    held: int
    faults: tuple[str, ...] = ()


def make_row(subject: str, attack: str, found: Sequence[str]) -> Row:
    """The row of an attack from what was found at each attempt: "" where the promise held."""
    faults = tuple(each for each in found if each)
    return Row(subject, attack, len(found), len(found) - len(faults), faults)


def format_table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, with the sums at the end."""
    lines = ["| what runs | what happens to it | tried | held |", "|---|---|---:|---:|"]
    lines += [f"| {row.subject} | {row.attack} | {row.tried:,} | {row.held:,} |" for row in rows]
    tried, held = sum(row.tried for row in rows), sum(row.held for row in rows)
    return "\n".join([*lines, f"| **all** | | **{tried:,}** | **{held:,}** |", ""])


def read_table(text: str) -> list[Row]:
    """The rows of the table in a page."""
    table = _TABLE.search(text)
    found = _LINE.finditer(table[0]) if table else iter(())
    return [Row(each["subject"], each["attack"], _count(each["tried"]), _count(each["held"])) for each in found]


def _count(text: str) -> int:
    return int(text.replace(",", ""))


def update_table(row: Row, page: Path = PAGE) -> None:
    """Put a row into the table of the page, in place of an older one of the same attack."""
    with page.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other attacks may run at the same time
        text = file.read()
        rows = {(each.subject, each.attack): each for each in (*read_table(text), row)}
        table = format_table(list(rows.values()))
        file.seek(0)
        file.truncate()
        file.write(_TABLE.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", text))
