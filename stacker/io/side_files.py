"""Small files that go with a checkpoint unread: tokenizer, chat template, generation config."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stacker.core.donor import GENERATION, SideFile
from stacker.errors import DonorError, Mark

MOST_BYTES = 200_000_000


def read_generation_config(files: Iterable[SideFile]) -> dict[str, bytes]:
    """The generation config by its name, if there is one."""
    return {file.name: _read(file) for file in files if file.name == GENERATION}


def read_tokenizer(files: Iterable[SideFile]) -> dict[str, bytes]:
    """All files that the tokenizer may be made of, by name."""
    return {file.name: _read(file) for file in files if file.name != GENERATION}


def _read(file: SideFile) -> bytes:
    try:
        with Path(file.path).open("rb") as reader:
            data = reader.read(MOST_BYTES + 1)
    except OSError as error:
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(file.path)) from error
    if len(data) > MOST_BYTES:
        raise DonorError.of(f"this file has more than {MOST_BYTES:,} bytes", "is it a tokenizer's?", Mark(file.path))
    return data
