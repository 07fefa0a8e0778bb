"""A family in full on the terminal."""

from __future__ import annotations

from rich.console import Console

from stacker.arch.families import read_architecture
from stacker.view.tables.architectures import draw_architecture


def test_shapes_are_shown() -> None:
    """Shapes in brackets are printed, not read as markup."""
    console = Console(width=200)
    with console.capture() as caught:
        console.print(draw_architecture(read_architecture("gpt2")))
    shown = caught.get()
    assert "[vocab, hidden]" in shown
    assert "[hidden, 3 * hidden]" in shown
    assert shown.count("[hidden]") >= 5
