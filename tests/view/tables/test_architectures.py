"""What people read of a family."""

from __future__ import annotations

from rich.console import Console

from stacker.arch.families import read_architecture
from stacker.view.tables.architectures import draw_architecture


def test_shapes_are_shown() -> None:
    """Sizes in brackets are text: none is taken for a style and lost."""
    console = Console(width=200)
    with console.capture() as caught:
        console.print(draw_architecture(read_architecture("gpt2")))
    shown = caught.get()
    assert "[vocab, hidden]" in shown
    assert "[hidden, 3 * hidden]" in shown
    assert shown.count("[hidden]") >= 5
