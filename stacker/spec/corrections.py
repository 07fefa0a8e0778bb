"""Corrects slips in the text of a spec whose problems name the right word, and changes nothing else in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from stacker.errors import Mark, Problem, find_answer

FindProblems = Callable[[str], Sequence[Problem]]
"""A function that returns the problems of a spec with this text."""
_QUOTED = re.compile(r"'([^']+)'")
_FARTHEST = 2_000
"""How many characters after the place of a problem its slip is looked for."""
_SIMILAR, _CLOSE = 0.6, 0.8
"""Ratios of difflib: from the first on, words are called similar, and from the second on, one may be a slip."""
_MOST = 100
"""How many slips of one spec are corrected."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A word `slip` in the text, at character `offset`, and the word `answer` that replaces it."""

    mark: Mark
    offset: int
    slip: str
    answer: str

    def apply(self, text: str) -> str:
        """The text with the answer in place of the slip."""
        return text[: self.offset] + self.answer + text[self.offset + len(self.slip) :]


def correct_text(text: str, source: str, find_problems: FindProblems) -> tuple[str, tuple[Correction, ...]]:
    """Correct the slips in the text of the spec called `source`; returns the new text and the corrections, in order.

    A correction is kept only if its problem is gone afterwards and it has caused no other with the same word.
    """
    done: list[Correction] = []
    refused: set[tuple[int, str]] = set()
    problems = find_problems(text)
    while len(done) < _MOST:
        correction = next((each for each in _list_corrections(text, source, problems, refused)), None)
        if correction is None:
            break
        corrected = correction.apply(text)
        left = find_problems(corrected)
        if _is_better(correction, problems, left):
            text, problems = corrected, left
            done.append(correction)
        else:
            refused.add((correction.mark.line or 0, correction.slip))
    return text, tuple(done)


def _list_corrections(
    text: str, source: str, problems: Sequence[Problem], refused: set[tuple[int, str]]
) -> Iterator[Correction]:
    for problem in problems:
        answer, mark = find_answer(problem.hint), problem.mark
        if not answer or mark is None or mark.source != source or mark.line is None:
            continue
        for slip in filter(partial(_is_sure, answer), _list_slips(problem, answer)):
            offset = _find_slip(text, mark, slip)
            if offset is not None and (place := _make_mark(text, source, offset)) and (place.line, slip) not in refused:
                yield Correction(place, offset, slip, answer)
                break


def _is_sure(answer: str, slip: str) -> bool:
    """Whether a word can only mean the answer: both differ as by a slip of the hand, or not by their letters at all.

    A hint for words that are merely similar may be wrong: `near` is not `linear`, and `model2` is not `model1`. Words
    that are not similar are answers that somebody wrote down, such as `attn.o` for `o_proj`.
    """
    ratio = difflib.SequenceMatcher(None, slip, answer).ratio()
    if ratio < _SIMILAR:
        return True
    if re.sub(r"\D", "", slip) != re.sub(r"\D", "", answer):
        return False
    alike = len(slip) == len(answer) or (slip[:1] == answer[:1] and abs(len(slip) - len(answer)) == 1)
    return sorted(slip) == sorted(answer) or (ratio >= _CLOSE and alike)


def _list_slips(problem: Problem, answer: str) -> list[str]:
    """The words that a problem quotes, those most like the answer first."""
    words = dict.fromkeys(_QUOTED.findall(f"{problem.hint} {problem.message}"))
    words.pop(answer, None)
    return sorted(words, key=lambda word: -difflib.SequenceMatcher(None, word, answer).ratio())


def _find_slip(text: str, mark: Mark, slip: str) -> int | None:
    """The offset of the first whole word `slip` from the place `mark` on, outside of comments."""
    begin = _find_offset(text, mark)
    word = re.compile(rf"(?<![\w.-]){re.escape(slip)}(?![\w-])(?!\.\w)")
    for found in word.finditer(text, begin, begin + _FARTHEST):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if not re.search(r"(^|\s)#", line):
            return found.start()
    return None


def _find_offset(text: str, mark: Mark) -> int:
    before = text.split("\n")[: (mark.line or 1) - 1]
    return sum(map(len, before)) + len(before) + (mark.column or 1) - 1


def _make_mark(text: str, source: str, offset: int) -> Mark:
    return Mark(source, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _is_better(correction: Correction, before: Sequence[Problem], after: Sequence[Problem]) -> bool:
    """Whether a correction has removed a problem with its answer, and no new one quotes the answer."""
    solved = [problem for problem in before if find_answer(problem.hint) == correction.answer]
    left = [problem for problem in after if find_answer(problem.hint) == correction.answer]
    known = {problem.message for problem in before}
    caused = any(
        problem.message not in known and f"'{correction.answer}' is already" in problem.message for problem in after
    )
    return not caused and _count_uses(left) < _count_uses(solved)


def _count_uses(problems: Sequence[Problem]) -> int:
    """How often the slips of problems occur; a problem may stand for several places: `(used 2 times)`."""
    used = (re.search(r"\(used (\d+) times\)", problem.message) for problem in problems)
    return sum(int(found[1]) if found else 1 for found in used)
