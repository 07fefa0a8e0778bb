"""The parts of texts, and the windows that generations are measured on."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.measure.texts import TextPassage
from stacker.search.evaluation.windows import Part, draw_windows, split_texts
from tests.measure.donors_with_words import make_text, make_tokenizer


def passages(count: int, seed: int) -> list[TextPassage]:
    return [TextPassage("text", number, make_text(12, seed * 1000 + number)) for number in range(count)]


def split(**counts: int) -> dict[str, Part]:
    texts = {name: passages(count, seed) for seed, (name, count) in enumerate(counts.items())}
    return split_texts(texts, make_tokenizer(), 12, 16)


def test_no_passage_is_in_two_parts() -> None:
    """The parts share no passage, and the search part has half of all."""
    parts = split(one=40, two=40)
    seen = [window.tokens for part in parts.values() for each in part.windows.values() for window in each]
    assert len(seen) == len(set(seen))
    assert {name: len(part.windows["one"]) for name, part in parts.items()} == {"search": 20, "choice": 8, "final": 10}


def test_texts_are_of_equal_weight_in_the_end() -> None:
    """The choice and the final part have equally many passages of a short and a long text."""
    parts = split(short=24, long=80)
    assert [len(each) for each in parts["final"].windows.values()] == [6, 6]
    assert [len(each) for each in parts["choice"].windows.values()] == [6, 6]
    assert len(parts["search"].windows["long"]) == 40


def test_short_texts_are_refused() -> None:
    """Texts without enough passages are errors with their names."""
    with pytest.raises(SpecError, match="short: fewer than 24 passages of 12 tokens"):
        split(short=23, long=80)


def test_generations_read_other_windows() -> None:
    """Until a text is read to its end, no generation has a window of an earlier one; all texts take turns."""
    part = split(one=48, two=48)["search"]
    drawn = [draw_windows(part, generation, 8, seed=3) for generation in range(6)]
    seen = [window.tokens for windows in drawn for window in windows]
    assert len(set(seen)) == 48
    of_one = {window.tokens for window in part.windows["one"]}
    assert all([window.tokens in of_one for window in windows] == [True, False] * 4 for windows in drawn)
    assert [window.passage for window in drawn[0]] == [*range(8)]


def test_windows_depend_on_seed_and_generation_alone() -> None:
    """The same generation of the same seed has the same windows, whatever came before."""
    part = split(one=48)["search"]
    assert draw_windows(part, 9, 4, seed=1) == draw_windows(part, 9, 4, seed=1)
    assert draw_windows(part, 9, 4, seed=1) != draw_windows(part, 9, 4, seed=2)
