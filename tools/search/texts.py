"""Texts for searches from many documents, none of which the fine-tunes of `tools.tunes` were trained on."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

from tools.tunes.texts import SUBJECTS, read_book, read_module

LENGTH = 12_000
"""Characters of a document."""
DOCUMENTS = 24
"""How many documents each text has."""


def write_texts(folder: Path) -> dict[str, Path]:
    """A file of JSON lines for each subject, with a document a line."""
    documents = {"python": list_modules(), "prose": list_pieces()}
    paths = {name: folder / f"{name}.jsonl" for name in documents}
    for name, path in paths.items():
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents[name]), encoding="utf-8")
    return paths


def list_modules() -> list[str]:
    """The beginnings of modules of the standard library, in alphabetical order."""
    trained = set(SUBJECTS["python"].training)
    names = sorted(path.stem for path in Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [read_module(name) for name in names if name not in trained and not name.startswith("_")]
    return [text[:LENGTH] for text in texts if len(text) >= LENGTH][:DOCUMENTS]


def list_pieces() -> list[str]:
    """Equally spaced pieces of the books that are held out, book by book."""
    books = [read_book(name) for name in SUBJECTS["prose"].held_out]
    each = DOCUMENTS // len(books)
    return [
        text[start : start + LENGTH]
        for text in books
        for start in (number * (len(text) - LENGTH) // each for number in range(each))
    ]
