"""Small files that go with a checkpoint unread: tokenizer, chat template, generation config. Code is not carried."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stacker.core.tokens.tokenizer_files import CODE, SETTINGS
from stacker.core.values.donor import GENERATION, SideFile
from stacker.errors import DonorError, Mark
from stacker.formats.json_object import format_json, parse_object

MAX_SIDE_FILE_BYTES = 200_000_000


def read_generation_config(files: Iterable[SideFile]) -> dict[str, bytes]:
    """The generation config by its name, if there is one."""
    return {file.name: read_side_file(file) for file in files if file.name == GENERATION}


def read_tokenizer(files: Iterable[SideFile]) -> dict[str, bytes]:
    """All files that the tokenizer may be made of, by name; where its settings name code, they are without that."""
    found = {file.name: read_side_file(file) for file in files if file.name != GENERATION}
    if CODE.encode() in found.get(SETTINGS, b""):
        content = parse_object(found[SETTINGS], SETTINGS)
        found[SETTINGS] = format_json({key: value for key, value in content.items() if key != CODE})
    return found


def read_side_file(file: SideFile) -> bytes:
    """A file's content, fetched where it is only on the hub; DonorError when it cannot be had, or is not small."""
    if file.data is not None:
        return file.data
    path = Path(file.path) if file.path else _fetched(file)
    try:
        with path.open("rb") as reader:
            data = reader.read(MAX_SIDE_FILE_BYTES + 1)
    except OSError as error:
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error
    if len(data) > MAX_SIDE_FILE_BYTES:
        raise DonorError.of(
            f"this file has more than {MAX_SIDE_FILE_BYTES:,} bytes", "is it a tokenizer's?", Mark(str(path))
        )
    return data


def _fetched(file: SideFile) -> Path:
    from stacker.io.hub.repository import open_hub

    return open_hub(file.source, file.revision).fetch(file.name)
