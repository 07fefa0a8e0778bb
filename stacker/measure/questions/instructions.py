"""Instructions whose fulfilment can be read off the answer, and how repetitive a text is. Imports no torch.

They are few and simple: they show whether a stack still does what it is told and stops in time, not how clever it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

GRAM = 4
"""How many words in a row count as repeated when they occur again: rep-4 of Welleck et al., arXiv:1908.04319."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a model is told, and a function that says whether an answer, without space around it, fulfils it."""

    text: str
    fulfilled: Callable[[str], bool]


def _says(*texts: str) -> Callable[[str], bool]:
    """Whether an answer is one of `texts`, apart from case, quotes and a full stop."""
    return lambda answer: answer.strip("\"'.! ").lower() in texts


def _is_json(answer: str) -> bool:
    bare = re.sub(r"^```(json)?\s*|\s*```$", "", answer)
    try:
        found = json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("name"), str)


def _count_lines(answer: str) -> int:
    return len([line for line in answer.split("\n") if line.strip()])


def _is_quoted(answer: str) -> bool:
    return len(answer) > 2 and answer[0] in '"“' and answer[-1] in '"”'


def _find_words(text: str) -> list[str]:
    return re.findall(r"[\w'’-]+", text.lower())


INSTRUCTIONS = (
    Instruction("Reply with the number 42 and nothing else.", _says("42")),
    Instruction("Write a sentence about the sea in capital letters only.", str.isupper),
    Instruction("Write the word hello three times, separated by spaces, and nothing else.", _says("hello hello hello")),
    Instruction("List four animals, one on each line, and nothing else.", lambda answer: _count_lines(answer) == 4),
    Instruction("Answer with yes or no only: is ice cold?", _says("yes", "no")),
    Instruction("Begin your answer with the word Indeed. What is the moon?",
                lambda answer: _find_words(answer)[:1] == ["indeed"]),
    Instruction("Write a sentence that ends with the word river.",
                lambda answer: _find_words(answer)[-1:] == ["river"]),
    Instruction("Name three colours, separated by commas, and nothing else.",
                lambda answer: answer.count(",") == 2 and len(_find_words(answer)) <= 6),
    Instruction("Write a title for a book about winter in double quotes, and nothing else.", _is_quoted),
    Instruction("Repeat exactly: the red fox runs home", _says("the red fox runs home")),
    Instruction('Write a JSON object with the key "name" and a text as its value, and nothing else.', _is_json),
    Instruction("Write a sentence of exactly five words.", lambda answer: len(_find_words(answer)) == 5),
)  # fmt: skip
OPENINGS = (
    "The old lighthouse stood at the end of the bay, and every evening",
    "To bake a simple bread at home, you need flour, water, salt and",
    "The first railway in the country was opened in",
    'def count_words(text):\n    """Return how often each word occurs in a text."""\n',
    "Dear Sir or Madam,\n\nI am writing to you because",
    "In mathematics, a prime number is",
    "Once upon a time, in a village between two rivers, there lived",
    "The main difference between a frog and a toad is",
    "The committee met on Monday to discuss",
    "Plants turn sunlight into energy by",
    "My favourite season is autumn, because",
    "The history of the city begins with",
)
"""Beginnings of texts of several kinds, which models continue."""


def measure_repetition(text: str) -> float:
    """The share of runs of GRAM words that occurred before in the text; 0 for texts of fewer words."""
    words = _find_words(text)
    runs = [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
