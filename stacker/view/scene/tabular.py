"""Makes tables without borders, and formats parameter counts and durations as text, for the terminal.

Strings are shown as they are: `[red]` in a name is not markup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

Cells = Sequence[str | Text]


def make_table(
    columns: Sequence[str], rows: Iterable[Cells], right: Collection[str] = (), header_style: str = "bold"
) -> Table:
    """A table whose long cells are wrapped.

    Columns named in `right` are aligned right and never wrapped.
    """
    table = Table(box=None, pad_edge=False, header_style=header_style)
    for name in columns:
        aligned = name in right
        table.add_column(Text(name), justify="right" if aligned else "left", no_wrap=aligned, overflow="fold")
    for row in rows:
        table.add_row(*to_texts(row))
    return table


def make_pairs(pairs: Mapping[str, str], name_style: str = "bold") -> Table:
    """A table without a header, in which each row shows the name and the value of one of `pairs`."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style=name_style, no_wrap=True)
    table.add_column(overflow="fold")
    for pair in pairs.items():
        table.add_row(*to_texts(pair))
    return table


def to_texts(cells: Cells) -> list[Text]:
    """Wrap each string in rich's Text, so that rich does not parse the string as markup."""
    return [Text(cell) if isinstance(cell, str) else cell for cell in cells]


def count_text(count: float) -> str:
    """A number of parameters as text with a unit: `117.75 B` for 117.75 billion."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f}"


def seconds_text(seconds: float) -> str:
    """A number of seconds as text: `0.4 s`, `12 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
