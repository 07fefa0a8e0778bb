"""Questions are read with every mistake named, and generated the same for a seed, with one right choice each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stacker.errors import SpecError
from stacker.measure.questions.probe_sets import PROBE_SETS, make_questions, parse_probe_set
from stacker.measure.questions.questions import Question, hash_questions, read_questions

GOOD = {"prompt": "2 + 2 =", "choices": [" 3", " 4"], "answer": 1}


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def test_questions_are_read(tmp_path: Path) -> None:
    """An answer is an index or a choice; the subject is that of the line, or the file's name."""
    path = write_lines(tmp_path / "sums.jsonl", GOOD, {**GOOD, "answer": " 3", "subject": "wrong sums"})
    assert read_questions([path]) == (
        Question("sums", "2 + 2 =", (" 3", " 4"), 1),
        Question("wrong sums", "2 + 2 =", (" 3", " 4"), 0),
    )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"prompt": ""}, "'prompt' must be a text"),
        ({"prompt": 3}, "'prompt' must be a text"),
        ({"choices": [" 4"]}, "'choices' must be at least two different texts"),
        ({"choices": [" 4", " 4"]}, "'choices' must be at least two different texts"),
        ({"choices": [" 4", ""]}, "'choices' must be at least two different texts"),
        ({"choices": "34"}, "'choices' must be at least two different texts"),
        ({"choices": [["3"], ["4"]]}, "'choices' must be at least two different texts"),
        ({"answer": 2}, "'answer' must be one of the choices"),
        ({"answer": -1}, "'answer' must be one of the choices"),
        ({"answer": 1.0}, "'answer' must be one of the choices"),
        ({"answer": True}, "'answer' must be one of the choices"),
        ({"answer": "4"}, "'answer' must be one of the choices"),
        ({"answer": None}, "'answer' must be one of the choices"),
        ({"subject": 3}, "'subject' must be a text"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, object], part: str) -> None:
    """Every wrong line is named with its number, together with those of other lines."""
    path = write_lines(tmp_path / "sums.jsonl", GOOD, {**GOOD, **change}, {"choices": 1})
    with pytest.raises(SpecError) as caught:
        read_questions([path])
    assert f"{path}:2: {part}" in str(caught.value)
    assert f"{path}:3: " in str(caught.value)


@pytest.mark.parametrize("name", PROBE_SETS)
def test_generated_questions(name: str) -> None:
    """A longer set begins with the shorter one, another seed has other questions, and choices are different texts."""
    questions = make_questions(name, 60)
    assert questions[:20] == make_questions(name, 20)
    assert hash_questions(questions) != hash_questions(make_questions(name, 60, seed=1))
    assert all(len(set(each.choices)) == 4 for each in questions)
    assert {each.answer for each in questions} == {0, 1, 2, 3}
    assert len({each.prompt for each in questions}) == 60


def solve(question: Question) -> str:
    """The right choice, worked out from the last part of the prompt."""
    text = question.prompt.split("\n\n")[-1]
    if question.subject == "arithmetic":
        return f" {eval(text.removesuffix('='))}"
    if question.subject == "ordering":
        return "".join(f" {each}" for each in sorted(map(int, re.findall(r"\d+", text))))
    if question.subject == "copying":
        whole, begun = (part.split()[1:] for part in text.split("\n"))
        return f" {whole[len(begun)]}"
    name = re.findall(r"What does (\w+) have", text)[0]
    return f" {re.findall(rf'{name} has the (.+?)[.]', text)[0]}"


@pytest.mark.parametrize("name", PROBE_SETS)
def test_the_answers_are_right(name: str) -> None:
    """The marked choice is the one that follows from the prompt, and the shown examples are solved rightly."""
    for question in make_questions(name, 60, seed=5):
        assert question.choices[question.answer] == solve(question)


def test_names_of_sets() -> None:
    """Count and seed may be left out."""
    assert parse_probe_set("arithmetic") == ("arithmetic", 100, 0)
    assert parse_probe_set("copying:50") == ("copying", 50, 0)
    assert parse_probe_set("copying:50:7") == ("copying", 50, 7)


@pytest.mark.parametrize("text", ["arithmetics:5", "copying:", "copying:0", "copying:-1", "copying:5:1:2", "copying:x"])
def test_wrong_names_of_sets(text: str) -> None:
    """A set that does not exist, and numbers that are none, are refused."""
    with pytest.raises(SpecError):
        parse_probe_set(text)
