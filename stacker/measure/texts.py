"""Reads text files, divides them into passages, and passages into windows of tokens. Imports no torch.

Passages are pieces of the text, so they are the same for every tokenizer; windows are what a model reads at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacker.errors import Mark, Problem, SpecError, StackerError, raise_problems
from stacker.live.forecast.positions import find_positions

PASSAGE = 2000
"""The usual length of a passage in characters."""


@dataclass(frozen=True, slots=True)
class TextPassage:
    """A piece of a document, the unit that intervals are computed over; `number` counts the pieces of `source` from 0.

    `source` is a file, or a file and a line where each line holds a document.
    """

    source: str
    number: int
    text: str

    @property
    def nbytes(self) -> int:
        """The length of the text in UTF-8."""
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Windowing:
    """How passages are divided into windows: of at most `window` tokens, each beginning `stride` tokens later.

    The stride must be shorter than the window, so that every token has one before it.
    """

    window: int = 512
    stride: int = 256


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive tokens of passage number `passage`, which a model reads at once.

    Tokens from index `counted` on are scored; those before it are context, which an earlier window has scored.
    """

    passage: int
    tokens: tuple[int, ...]
    counted: int


def read_passages(paths: Iterable[Path], size: int = PASSAGE) -> tuple[TextPassage, ...]:
    """The passages of text files, in order, none of which spans two documents.

    A file is one document in UTF-8; in a file whose name ends in `.jsonl`, each line is an object whose `text` is a
    document. With a size of 0, each document is one passage. SpecError lists all that cannot be read.
    """
    passages: list[TextPassage] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            for source, text in _read_documents(path):
                pieces = [piece for piece in divide_document(text, size) if piece.strip()]
                passages += [TextPassage(source, number, piece) for number, piece in enumerate(pieces)]
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    if not passages:
        raise SpecError.of("the texts are empty", "name a file with text: --text FILE")
    return tuple(passages)


def _read_documents(path: Path) -> Iterator[tuple[str, str]]:
    text = read_text(path)
    if path.suffix != ".jsonl":
        yield str(path), text
        return
    for number, record in read_records(text, str(path)):
        found = record.get("text")
        if not isinstance(found, str):
            raise SpecError.of("a line must have a 'text'", 'write {"text": "…"}', Mark(str(path), number))
        yield f"{path}:{number}", found


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, with every line end as a newline; SpecError if it cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError.of(f"cannot be read: {error.strerror}", mark=Mark(str(path))) from error
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise SpecError.of(message, "convert the file to UTF-8", Mark(str(path))) from error


def read_records(text: str, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects in the lines of a text, each with the number of its line from 1; empty lines are skipped."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SpecError.of(f"not JSON: {error}", mark=Mark(source, number)) from error
        if not isinstance(record, dict):
            raise SpecError.of("not a JSON object", mark=Mark(source, number))
        yield number, record


def divide_document(text: str, size: int) -> list[str]:
    """Divide a document into passages, which give the document when joined.

    A passage ends after the first blank line behind `size` characters; if there is none before twice that, after the
    first line end; if there is none, after the first space; else there. A rest shorter than half of `size` is part of
    the passage before it. With a size of 0 the document stays whole.
    """
    pieces = []
    start = 0
    while size and len(text) - start >= size * 3 // 2:
        end = _find_end(text, start + size, start + 2 * size)
        if len(text) - end < size // 2:
            break
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def _find_end(text: str, first: int, last: int) -> int:
    for separator in ("\n\n", "\n", " "):
        found = text.find(separator, first, last)
        if found >= 0:
            return found + len(separator)
    return min(last, len(text))


def cut_windows(passages: Sequence[TextPassage], tokenizer: Any, windowing: Windowing) -> tuple[Window, ...]:
    """The windows of all passages, in order; each passage is tokenised alone.

    If the tokenizer puts its start token (BOS) before texts by itself, each window begins with it; it is part of the
    window's length and never scored. Every other token is scored exactly once, except the first of a passage without
    start token, which has nothing before it.
    """
    start = find_start_token(tokenizer)
    windows: list[Window] = []
    for number, passage in enumerate(passages):
        ids = tokenizer(passage.text, add_special_tokens=False, verbose=False)["input_ids"]
        windows += _cut_passage(number, ids, start, windowing)
    if not windows:
        raise SpecError.of("the texts have no token that could be scored", "name longer texts")
    return tuple(windows)


def _cut_passage(number: int, ids: Sequence[int], start: tuple[int, ...], windowing: Windowing) -> Iterator[Window]:
    body = windowing.window - len(start)
    scored = 0 if start else 1
    begin = 0
    while scored < len(ids):
        end = min(begin + body, len(ids))
        yield Window(number, (*start, *ids[begin:end]), len(start) + scored - begin)
        scored = end
        begin += windowing.stride


def check_windowing(windowing: Windowing, config: Mapping[str, Any]) -> None:
    """Raise a SpecError if windows and stride do not fit each other, or the positions that a config.json allows."""
    if not 0 < windowing.stride < windowing.window:
        message = f"a stride of {windowing.stride} does not fit windows of {windowing.window} tokens"
        raise SpecError.of(message, "the stride must be at least 1 and less than the window")
    most = find_positions(config)
    if most is not None and most < windowing.window:
        message = f"windows of {windowing.window} tokens are longer than the {most} positions of the model"
        raise SpecError.of(message, f"write --window {most}")


def find_start_token(tokenizer: Any) -> tuple[int, ...]:
    """The start token (BOS) of a tokenizer that puts it before texts by itself; empty for any other."""
    bos = tokenizer.bos_token_id
    first = tokenizer("a", verbose=False)["input_ids"][:1]
    return (bos,) if bos is not None and first == [bos] else ()


def hash_passages(passages: Iterable[TextPassage]) -> str:
    """A hash of the passages' texts in their order; it does not depend on the files' names."""
    digest = hashlib.sha256()
    for passage in passages:
        data = passage.text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
