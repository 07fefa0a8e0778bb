"""Makes tables without borders, and formats parameter counts and durations as text, for the terminal.

Strings are shown as they are: `[red]` in a name is not markup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

Cells = Sequence[str | Text]
_GAP = 2
"""Columns of the terminal between two columns of a table."""


class WordTable(Table):
    """A table that breaks lines only between words.

    If that does not fit, each row is shown as a list: its first cell, then the others below it, each after its header.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, with columns as wide as their texts if these fit, else narrowed as far as words allow."""
        room = options.max_width - _GAP * (len(self.columns) - 1)
        widths = _fit_widths([*map(_text_width, self.columns)], [*map(_word_width, self.columns)], room)
        if widths is None:
            yield from self._list_rows()
            return
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)

    def _list_rows(self) -> RenderResult:
        for first, *others in zip(*(column.cells for column in self.columns), strict=True):
            yield Text(str(first), "bold")
            for column, cell in zip(self.columns[1:], others, strict=True):
                if str(cell):
                    yield Padding(Text(f"{column.header}: {cell}", overflow="fold"), (0, 0, 0, _GAP))


def _fit_widths(widths: list[int], least: list[int], room: int) -> list[int] | None:
    """Narrow the widest columns until all fit into `room`, none below its `least` width; None if they cannot fit."""
    if sum(least) > room:
        return None
    while sum(widths) > room:
        _, at = max((width, at) for at, width in enumerate(widths) if width > least[at])
        widths[at] -= 1
    return widths


def _text_width(column: Column) -> int:
    return max((cell_len(line) for text in _texts(column) for line in text.splitlines()), default=1) or 1


def _word_width(column: Column) -> int:
    """The length of the longest word, or of the longest line in a column that is not wrapped."""
    if column.no_wrap:
        return _text_width(column)
    return max((cell_len(word) for text in _texts(column) for word in text.split()), default=1)


def _texts(column: Column) -> list[str]:
    return [str(column.header), *map(str, column.cells)]


def make_table(
    columns: Sequence[str], rows: Iterable[Cells], right: Collection[str] = (), header_style: str = "bold"
) -> Table:
    """A table whose long cells are wrapped between words.

    Columns named in `right` are aligned right and never wrapped.
    """
    table = WordTable(box=None, pad_edge=False, header_style=header_style)
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
