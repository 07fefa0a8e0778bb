"""Lists and reads side files: the small files that belong to a checkpoint, such as tokenizer and chat template.

Side files are copied into the output, except for code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path

from stacker.core.tokens.tokenizer_files import CODE_KEY, TOKENIZER_CONFIG
from stacker.core.values.donor import GENERATION, SideFile
from stacker.errors import DonorError, Mark
from stacker.formats.json_object import format_json, parse_object
from stacker.io.files.repository import Repository

MAX_SIDE_FILE_BYTES = 200_000_000
_CHUNK = 1_000_000
"""How many bytes are read at once, because a larger buffer would be allocated as a whole for the smallest file."""

_SIDE_FILE = re.compile(
    r"(generation_config|special_tokens_map|added_tokens|vocab|chat_template|tekken|tokenizer[\w.-]*)\.json"
    r"|merges\.txt|vocab\.txt|chat_template\.jinja|(tokenizer|spiece|sentencepiece[\w.]*)\.model(\.v\d+)?"
    r"|(LICEN[SC]E|NOTICE|COPYING|USE_POLICY)(\.\w+)?",
    re.IGNORECASE,
)


def list_side_files(repository: Repository, source: str) -> tuple[SideFile, ...]:
    """List the side files of a donor without reading them; `source` is the donor's source as written in the spec.

    A file that is only on the hub has "" as `path`.
    """
    names = [name for name in repository.list_names() if _SIDE_FILE.fullmatch(name)]
    paths = {name: repository.find_path(name) for name in names}
    return tuple(
        SideFile(name, str(path.absolute()) if path else "", source, repository.revision)
        for name, path in paths.items()
    )


def read_generation_config(files: Iterable[SideFile]) -> dict[str, bytes]:
    """Read the generation config among `files`; returns a dict from file name to content.

    The dict is empty when there is no generation config.
    """
    return {file.name: read_side_file(file) for file in files if file.name == GENERATION}


def read_tokenizer_files(files: Iterable[SideFile]) -> dict[str, bytes]:
    """Read all side files except the generation config; returns a dict from file name to content.

    The entry `auto_map`, which names code to run, is removed from the tokenizer config.
    """
    found = {file.name: read_side_file(file) for file in files if file.name != GENERATION}
    if CODE_KEY.encode() in found.get(TOKENIZER_CONFIG, b""):
        content = parse_object(found[TOKENIZER_CONFIG], TOKENIZER_CONFIG)
        found[TOKENIZER_CONFIG] = format_json({key: value for key, value in content.items() if key != CODE_KEY})
    return found


def read_side_file(file: SideFile) -> bytes:
    """Read a side file, which is downloaded first if it is only on the hub.

    DonorError when downloading or reading fails, or when the file is too large.
    """
    if file.data is not None:
        return file.data
    path = Path(file.path) if file.path else _download(file)
    try:
        with path.open("rb") as reader:
            chunks = iter(partial(reader.read, _CHUNK), b"")
            data = b"".join(islice(chunks, MAX_SIDE_FILE_BYTES // _CHUNK + 1))
    except OSError as error:
        raise DonorError.of(f"cannot read this file: {error.strerror}", "", Mark(str(path))) from error
    if len(data) > MAX_SIDE_FILE_BYTES:
        raise DonorError.of(
            f"this file has more than {MAX_SIDE_FILE_BYTES:,} bytes", "is it a tokenizer's?", Mark(str(path))
        )
    return data


def _download(file: SideFile) -> Path:
    from stacker.io.hub.repository import open_hub

    return open_hub(file.source, file.revision).fetch(file.name)
