"""Texts become passages and windows as documented: nothing is lost, and every token is scored once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import SpecError
from stacker.measure.texts import (
    TextPassage,
    Windowing,
    check_windowing,
    cut_windows,
    divide_document,
    hash_passages,
    read_passages,
)
from tests.measure.donors_with_words import make_text, make_tokenizer


@given(st.text("ab \n", max_size=400), st.integers(1, 60))
def test_passages_join_to_the_document(text: str, size: int) -> None:
    """No character is lost or added, and passages are neither short nor very long."""
    pieces = divide_document(text, size)
    assert "".join(pieces) == text
    assert all(size <= len(piece) < size * 5 // 2 + 2 for piece in pieces[:-1])
    assert len(pieces[-1]) < size * 5 // 2 + 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("aaaa bb\ncc\n\ndd eeeeeeeeee", ["aaaa bb\ncc\n\n", "dd eeeeeeeeee"], id="blank line first"),
        pytest.param("aaaa bbbb cc\ndd eeeeee", ["aaaa bbbb cc\n", "dd eeeeee"], id="then line end"),
        pytest.param("aaaaaaaaaa bb cccc", ["aaaaaaaaaa ", "bb cccc"], id="then space"),
        pytest.param("a" * 24, ["a" * 16, "a" * 8], id="then anywhere"),
        pytest.param("aaaaaaaaaa bb", ["aaaaaaaaaa ", "bb"], id="rest"),
    ],
)
def test_where_passages_end(text: str, expected: list[str]) -> None:
    """At a blank line, else a line end, else a space; a short rest stays with the passage before it."""
    if expected[-1] == "bb":
        expected = [text]
    assert divide_document(text, 8) == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(2, 12), st.data(), st.booleans())
def test_every_token_is_scored_once(lengths: list[int], window: int, data: st.DataObject, start: bool) -> None:
    """The scored tokens of all windows are the passages' tokens in order; without start token, not the first."""
    stride = data.draw(st.integers(1, window - 1))
    tokenizer = make_tokenizer(start=start)
    passages = [TextPassage("text", number, make_text(length)) for number, length in enumerate(lengths)]
    if not any(length > (not start) for length in lengths):
        return
    windows = cut_windows(passages, tokenizer, Windowing(window, stride))
    for number, passage in enumerate(passages):
        scored = [token for each in windows if each.passage == number for token in each.tokens[each.counted :]]
        assert scored == tokenizer(passage.text, add_special_tokens=False)["input_ids"][not start :]
    assert all(0 < each.counted < len(each.tokens) <= window for each in windows)
    assert all((each.tokens[0] == 1) is start for each in windows)


def test_context_of_later_windows() -> None:
    """With a window of 8 and a stride of 3, the second window repeats 5 tokens and scores up to 3 new ones."""
    passage = TextPassage("text", 0, make_text(14))
    windows = cut_windows([passage], make_tokenizer(), Windowing(8, 3))
    assert [(len(each.tokens), each.counted) for each in windows] == [(8, 1), (8, 5), (8, 5)]


def test_records_are_documents(tmp_path: Path) -> None:
    """Each line of a .jsonl file is a document of its own, and is named by its line."""
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "more": 1}) for text in ("one", "two")) + "\n\n")
    assert [(each.source, each.text) for each in read_passages([path])] == [(f"{path}:1", "one"), (f"{path}:2", "two")]


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    """Texts that differ in the file's name, line ends or byte order mark have the same passages and hash."""
    (tmp_path / "one").write_bytes("\ufeffä\r\nb".encode())
    (tmp_path / "two").write_bytes("ä\nb".encode())
    one, two = (read_passages([tmp_path / name]) for name in ("one", "two"))
    assert one[0].text == two[0].text
    assert hash_passages(one) == hash_passages(two)


def test_the_hash_knows_where_passages_end() -> None:
    """The same text divided otherwise has another hash."""
    texts = (("ab", "c"), ("a", "bc"))
    one, two = ([TextPassage("text", number, text) for number, text in enumerate(each)] for each in texts)
    assert hash_passages(one) != hash_passages(two)


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    """A missing file, one that is no text and a line that is no record are named in one error."""
    (tmp_path / "image").write_bytes(b"\xff\xd8")
    (tmp_path / "list.jsonl").write_text('{"text": "fine"}\n[1]\n')
    (tmp_path / "bare.jsonl").write_text('{"texts": "fine"}\n')
    (tmp_path / "broken.jsonl").write_text("{\n")
    names = ("missing", "image", "list.jsonl", "bare.jsonl", "broken.jsonl")
    with pytest.raises(SpecError) as caught:
        read_passages([tmp_path / name for name in names])
    message = str(caught.value)
    for part in ("No such file", "not UTF-8", "list.jsonl:2: not a JSON object", "must have a 'text'", "not JSON"):
        assert part in message


def test_empty_texts_are_refused(tmp_path: Path) -> None:
    """Texts without words, and passages of one token without start token, cannot be scored."""
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(SpecError, match="empty"):
        read_passages([tmp_path / "empty"])
    with pytest.raises(SpecError, match="no token"):
        cut_windows([TextPassage("text", 0, "w1")], make_tokenizer(), Windowing())


@pytest.mark.parametrize(
    ("windowing", "part"),
    [
        (Windowing(8, 8), "a stride of 8 does not fit"),
        (Windowing(8, 0), "a stride of 0 does not fit"),
        (Windowing(65, 8), "longer than the 64 positions"),
    ],
)
def test_windows_that_do_not_fit(windowing: Windowing, part: str) -> None:
    """A stride that leaves gaps or does not move, and a window longer than the model's positions, are refused."""
    with pytest.raises(SpecError, match=part):
        check_windowing(windowing, {"max_position_embeddings": 64})
    with pytest.raises(SpecError, match=part):
        check_windowing(windowing, {"text_config": {"n_positions": 64}})
