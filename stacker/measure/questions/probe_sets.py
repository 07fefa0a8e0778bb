"""Generates questions from a seed: arithmetic, ordering, copying, and finding a fact in the prompt.

Each prompt shows two solved examples, so that models without training on instructions see what is asked. Wrong choices
have the form of the right one, which stands at a random place.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from stacker.errors import SpecError, did_you_mean
from stacker.measure.questions.questions import Question

CHOICES = 4
NAMES = (
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jack", "Kate", "Leo", "Mary", "Noah",
    "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor",
)  # fmt: skip
NOUNS = (
    "apple", "bridge", "candle", "desk", "engine", "forest", "garden", "hammer", "island", "jacket", "kettle", "ladder",
    "mirror", "needle", "orange", "pencil", "river", "saddle", "table", "window",
)  # fmt: skip

Case = tuple[str, str, list[str]]
"""The text of a question, its right choice, and wrong ones of the same form."""


def make_arithmetic(source: random.Random) -> Case:
    """The sum or the difference of two numbers below 100; wrong choices are off by 1, 2, 10 or 11."""
    one, two = sorted((source.randrange(10, 100), source.randrange(10, 100)), reverse=True)
    sign, result = source.choice((("+", one + two), ("-", one - two)))
    off = [each for each in (1, -1, 2, -2, 10, -10, 11, -11) if result + each >= 0]
    return f"{one} {sign} {two} =", f" {result}", [f" {result + each}" for each in source.sample(off, CHOICES - 1)]


def make_ordering(source: random.Random) -> Case:
    """Four numbers to sort; wrong choices are other orders of the same numbers."""
    numbers = source.sample(range(10, 100), 4)
    right = _join(sorted(numbers))
    wrong = {_join(source.sample(numbers, 4)) for _ in range(40)} - {right}
    return f"Unsorted: {_join(numbers)}\nSorted:", right, source.sample(sorted(wrong), CHOICES - 1)


def _join(numbers: list[int]) -> str:
    return "".join(f" {number}" for number in numbers)


def make_copying(source: random.Random) -> Case:
    """A list of words that is repeated up to its last but one; wrong choices are other words of the list."""
    words = source.sample(NOUNS, 8)
    known = source.randrange(3, 7)
    wrong = source.sample([word for word in words if word != words[known]], CHOICES - 1)
    text = f"List: {' '.join(words)}\nCopy: {' '.join(words[:known])}"
    return text, f" {words[known]}", [f" {word}" for word in wrong]


def make_retrieval(source: random.Random) -> Case:
    """Eight people with things; wrong choices are things of the others."""
    owners = dict(zip(source.sample(NAMES, 8), source.sample(NOUNS, 8), strict=True))
    asked = source.choice([*owners])
    facts = " ".join(f"{name} has the {thing}." for name, thing in owners.items())
    wrong = source.sample([thing for name, thing in owners.items() if name != asked], CHOICES - 1)
    return f"{facts}\nQuestion: What does {asked} have?\nAnswer: the", f" {owners[asked]}", [f" {w}" for w in wrong]


PROBE_SETS: dict[str, Callable[[random.Random], Case]] = {
    "arithmetic": make_arithmetic,
    "ordering": make_ordering,
    "copying": make_copying,
    "retrieval": make_retrieval,
}


def parse_probe_set(text: str) -> tuple[str, int, int]:
    """The name, the number of questions and the seed in a text such as `arithmetic:200` or `copying:50:7`."""
    name, *numbers = text.split(":")
    if name not in PROBE_SETS:
        raise SpecError.of(f"there is no probe set '{name}'", did_you_mean(name, PROBE_SETS))
    if len(numbers) > 2 or not all(each.isascii() and each.isdigit() for each in numbers) or numbers[:1] == ["0"]:
        raise SpecError.of(f"'{text}' is no probe set", "write NAME:COUNT or NAME:COUNT:SEED, such as arithmetic:200")
    count, seed = (*map(int, numbers), *(100, 0)[len(numbers) :])
    return name, count, seed


def make_questions(name: str, count: int, seed: int = 0) -> tuple[Question, ...]:
    """The first `count` questions of a probe set; a question depends on its number and the seed only."""
    return tuple(_make_question(name, random.Random(f"{name} {seed} {number}")) for number in range(count))  # noqa: S311


def _make_question(name: str, source: random.Random) -> Question:
    *examples, (text, right, wrong) = (PROBE_SETS[name](source) for _ in range(3))
    shown = "".join(f"{example}{answer}\n\n" for example, answer, _ in examples)
    choices = source.sample([right, *wrong], CHOICES)
    return Question(name, shown + text, tuple(choices), choices.index(right))
