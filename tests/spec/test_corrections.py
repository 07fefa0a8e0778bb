"""Slips that are corrected in the text of a spec, and those that are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from stacker.errors import Problem, StackerError, did_you_mean, find_answer
from stacker.spec.corrections import _is_sure, correct_text
from stacker.spec.parser import parse_spec

SOURCE = "spec.yml"


def find_problems(text: str) -> Sequence[Problem]:
    """The problems that can be found without donors."""
    try:
        return parse_spec(text, SOURCE).problems
    except StackerError as error:
        return error.problems


def corrected(text: str, find: Callable[[str], Sequence[Problem]] = find_problems) -> str:
    """The text after all corrections."""
    return correct_text(text, SOURCE, find)[0]


@pytest.mark.parametrize(
    ("slipped", "right"),
    [
        pytest.param("naem: x  # naem", "name: x  # naem", id="a key, not the comment"),
        pytest.param("# naem\n  # naem\nnaem: x", "# naem\n  # naem\nname: x", id="comments before"),
        pytest.param('"naem": x', '"name": x', id="in quotes"),
        pytest.param("naem:   x\r", "name:   x\r", id="line ends of Windows"),
        pytest.param("output: {dtyp: keep, shard_sise: 5GB}", "output: {dtype: keep, shard_size: 5GB}", id="two"),
        pytest.param("output:\n  dtyp: keep\n\n\n", "output:\n  dtype: keep\n\n\n", id="blank lines"),
        pytest.param("ouput: {dtyp: bflaot16}", "output: {dtype: bfloat16}", id="one behind another"),
        pytest.param("base: donro", "base: donor", id="a donor"),
        pytest.param("emoji: 😀", "emoji: 😀", id="nothing near"),
    ],
)
def test_only_the_slip_changes(slipped: str, right: str) -> None:
    """Comments, quotes, blank lines and line ends stay as they are."""
    frame = "stacker: 1\ndonors: {donor: ./a}\nstack:\n- donor[0:2]\n"
    assert corrected(f"{frame}{slipped}\n") == f"{frame}{right}\n"


def test_a_slip_in_several_places() -> None:
    """Each use is corrected, whatever stands around it; a longer word that contains it is not."""
    text = (
        "stacker: 1\ndonors: {xwin: ./a}\nstack:\n- xwn[0:2]\n- slice: 'xwn[2:4]'\n- blend: [xwn, xwin]\n  op: linear\n"
    )
    assert corrected(text) == text.replace("xwn", "xwin")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("stacker: 1\nname: a\nnaem: b\ndonors: {a: ./a}\nstack: [a]\n", id="the key is there already"),
        pytest.param("stacker: 1\ndonors: {a1: ./a, a2: ./b}\nstack: [a3]\n", id="two answers"),
        pytest.param("stacker: 1\ndonors: {a: ./a}\nstack: [zebra]\n", id="no answer"),
        pytest.param("stacker: 1\ndonors: {a: ./a}\nstack: [a\n", id="no YAML"),
        pytest.param("", id="empty"),
    ],
)
def test_doubtful_slips_stay(text: str) -> None:
    """Nothing is changed where another word could be meant, or where the result would be wrong."""
    assert corrected(text) == text


def test_a_correction_that_does_not_help_is_undone() -> None:
    """If the problem stays, so does the text, and the search ends."""
    text = "one: two\n"

    def find(_: str) -> Sequence[Problem]:
        return [Problem("unknown key 'one'", "did you mean 'first'?", next(iter(find_problems("x: 1"))).mark)]

    assert corrected(text, find) == text


def test_equal_answers_are_both_named() -> None:
    """A hint with two words has no answer."""
    hint = did_you_mean("cut3", ["cut1", "cut2"])
    assert (hint, find_answer(hint)) == ("did you mean 'cut2' or 'cut1'?", "")
    assert find_answer(did_you_mean("slrp", ["slerp", "linear"])) == "slerp"
    assert find_answer("did you mean 'op' where it says 'opp'?") == "op"
    assert find_answer("known: a, b") == ""


@pytest.mark.parametrize(
    ("slip", "answer"),
    [("near", "linear"), ("lerp", "slerp"), ("dare", "dare_ties"), ("model2", "model1"), ("m12", "m21")],
)
def test_words_that_are_merely_similar_are_not_replaced(slip: str, answer: str) -> None:
    """A word that may mean something else stays, though the hint names a similar one."""
    assert not _is_sure(answer, slip)


@pytest.mark.parametrize(
    ("slip", "answer"), [("naem", "name"), ("wieght", "weight"), ("blnd", "blend"), ("o_proj", "attn.o")]
)
def test_slips_of_the_hand_are_replaced(slip: str, answer: str) -> None:
    """Letters that are exchanged, left out or doubled, and answers that are no similar words."""
    assert _is_sure(answer, slip)
