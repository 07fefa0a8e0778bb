"""Passages are spread over the text, and those that confirm have no part in measuring."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.measure.probes.passages import Choice, choose_windows, divide_windows
from stacker.measure.texts import TextPassage
from tests.measure.donors_with_words import make_text, make_tokenizer


def choose(passages: int, count: int, window: int = 8, words: int = 12) -> tuple[Choice, list[tuple[int, ...]]]:
    """The choice from passages of so many words, and the tokens of the beginning of each passage."""
    texts = [TextPassage("text", number, make_text(words, number)) for number in range(passages)]
    tokenizer = make_tokenizer()
    tokens = [tuple(tokenizer(text.text)["input_ids"][:window]) for text in texts]
    return choose_windows(texts, tokenizer, window, count), tokens


@pytest.mark.parametrize(
    ("passages", "count", "measured", "confirmed"),
    [(40, 8, 8, 8), (16, 8, 8, 8), (14, 8, 8, 6), (13, 8, 8, 0), (8, 8, 8, 0), (5, 8, 5, 0), (100, 1, 1, 0)],
)
def test_counts(passages: int, count: int, measured: int, confirmed: int) -> None:
    """As many as asked for are measured, and as many confirm, or at least six, or none."""
    choice, tokens = choose(passages, count)
    assert (len(choice.measured), len(choice.confirmed)) == (measured, confirmed)
    chosen = [window.tokens for window in (*choice.measured, *choice.confirmed)]
    assert set(chosen) <= set(tokens)
    assert len(set(chosen)) == len(chosen)
    for windows in (choice.measured, choice.confirmed):
        assert [window.passage for window in windows] == [*range(len(windows))]


def test_they_are_spread() -> None:
    """Measured and confirming passages both come from the beginning, the middle and the end of the text."""
    choice, tokens = choose(90, 9)
    for windows in (choice.measured, choice.confirmed):
        thirds = {tokens.index(window.tokens) // 30 for window in windows}
        assert thirds == {0, 1, 2}


def test_short_passages() -> None:
    """Passages with too few tokens are left out; if all are, the message says what to do."""
    with pytest.raises(SpecError, match="no passage of the text has 20 tokens"):
        choose(5, 2, window=20)


@pytest.mark.parametrize(("count", "draft", "rest"), [(11, 11, 0), (12, 6, 6), (16, 6, 10), (32, 12, 20)])
def test_drafts_and_the_rest(count: int, draft: int, rest: int) -> None:
    """Both parts have at least six windows, no window is in both, and both are spread; few windows stay together."""
    windows = choose(count, count)[0].measured
    parts = divide_windows(windows)
    assert (len(parts[0]), len(parts[1])) == (draft, rest)
    tokens = [window.tokens for part in parts for window in part]
    assert sorted(tokens) == sorted(window.tokens for window in windows)
    for part in parts:
        assert [window.passage for window in part] == [*range(len(part))]
        half = {windows[place].tokens for place in range(count // 2)}
        assert abs(sum(window.tokens in half for window in part) - len(part) / 2) <= 1
