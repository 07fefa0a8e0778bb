"""Shows several texts side by side while they grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text


@contextmanager
def show_columns(console: Console, names: list[str]) -> Iterator[list[Callable[[str], None]]]:
    """Yield a function for each of `names` that adds text to the column below the name.

    A terminal shows the columns as they grow; any other output gets them once, at the end of the `with` block.
    """
    texts = [Text(overflow="fold") for _ in names]
    if not console.is_terminal:
        yield [partial(_append, text) for text in texts]
        console.print(_draw(names, texts))
        return
    with Live(_draw(names, texts), console=console, auto_refresh=False, vertical_overflow="visible") as shown:

        def say(text: Text, more: str) -> None:
            _append(text, more)
            shown.update(_draw(names, texts), refresh=True)

        yield [partial(say, text) for text in texts]


def _append(text: Text, more: str) -> None:
    text.append(more)


def _draw(names: list[str], texts: list[Text]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(Text(name), ratio=1, overflow="fold")
    table.add_row(*texts)
    return table
