"""Defines Question, and reads questions from JSON lines. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacker.errors import Mark, Problem, StackerError, raise_problems
from stacker.measure.texts import read_records, read_text

FORM = 'write {"prompt": "2 + 2 =", "choices": [" 3", " 4"], "answer": 1}'


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the texts that may follow it directly; `answer` is the index of the right one among `choices`.

    `subject` names the set that it belongs to.
    """

    subject: str
    prompt: str
    choices: tuple[str, ...]
    answer: int


def read_questions(paths: Iterable[Path]) -> tuple[Question, ...]:
    """The questions of files with a JSON object a line: `prompt`, `choices`, `answer`, and if wanted `subject`.

    The answer is the index of the right choice, from 0, or that choice itself. Without `subject`, a question belongs to
    the set with the name of its file. SpecError lists every line that is wrong.
    """
    questions: list[Question] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            records = [*read_records(read_text(path), str(path))]
            if not records:
                problems.append(Problem("there are no questions in this file", FORM, Mark(str(path))))
            for number, record in records:
                mark = Mark(str(path), number)
                faults = [*_find_faults(record, mark)]
                problems += faults
                questions += [] if faults else [_make_question(record, path.stem)]
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    return tuple(questions)


def _find_faults(record: dict[str, Any], mark: Mark) -> Iterator[Problem]:
    prompt, choices, answer = (record.get(key) for key in ("prompt", "choices", "answer"))
    if not isinstance(prompt, str) or not prompt.strip():
        yield Problem("'prompt' must be a text", FORM, mark)
    if not _is_choices(choices):
        yield Problem("'choices' must be at least two different texts, none of them empty", FORM, mark)
    elif not _is_answer(answer, record["choices"]):
        yield Problem("'answer' must be one of the choices, or its index from 0", FORM, mark)
    if not isinstance(record.get("subject", ""), str):
        yield Problem("'subject' must be a text", "leave it out to use the name of the file", mark)


def _is_choices(choices: Any) -> bool:
    texts = isinstance(choices, list) and all(isinstance(each, str) and each for each in choices)
    return texts and len(set(choices)) == len(choices) > 1


def _is_answer(answer: Any, choices: list[str]) -> bool:
    if isinstance(answer, str):
        return answer in choices
    return type(answer) is int and 0 <= answer < len(choices)


def _make_question(record: dict[str, Any], subject: str) -> Question:
    choices, answer = tuple(record["choices"]), record["answer"]
    index = answer if isinstance(answer, int) else choices.index(answer)
    return Question(record.get("subject") or subject, record["prompt"], choices, index)


def hash_questions(questions: Iterable[Question]) -> str:
    """A hash of questions with their choices and answers, in order."""
    return hashlib.sha256(repr([*questions]).encode()).hexdigest()
