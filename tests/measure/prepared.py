"""Live stacks of tiny donors that have read a few passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.maps import Prepared, prepare
from stacker.measure.probes.passages import choose_windows
from stacker.measure.texts import TextPassage, Window
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_text, write_worded

PASSAGES = [TextPassage("text", number, make_text(12, number)) for number in range(8)]


def live_of(home: Path, *items: str, **config: Any) -> LiveStack:
    """A live stack in fp32 of two donors of six layers, `a` and `b`; without items, of all layers of `a`."""
    return stack_of(write_worded(home, "a", "b", **config), [*items] or ["a"]).live_stack(dtype="float32")


def windows_of(live: LiveStack) -> Sequence[Window]:
    """Eight windows of twelve tokens, each of a passage of its own."""
    return choose_windows(PASSAGES, live.load_tokenizer(), 12, 8).measured


def many_windows_of(live: LiveStack) -> Sequence[Window]:
    """Sixteen windows, enough for a draft and the rest."""
    passages = [TextPassage("text", number, make_text(12, number)) for number in range(16)]
    return choose_windows(passages, live.load_tokenizer(), 12, 16).measured


def prepared_of(live: LiveStack) -> Prepared:
    """A live stack that has read the windows."""
    return prepare(live, windows_of(live))
