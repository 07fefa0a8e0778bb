"""Names the files of a GGUF checkpoint: one file, or a set of numbered parts in llama.cpp's naming."""

from __future__ import annotations

import re
from collections.abc import Iterable

SUFFIX = ".gguf"
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_PROJECTOR = re.compile(r"(^|[-_.])mmproj", re.IGNORECASE)


def make_part_name(stem: str, number: int, count: int) -> str:
    """The name of part `number` (from 0) of `count` parts; `stem` is the name without its ending."""
    return f"{stem}{SUFFIX}" if count == 1 else f"{stem}-{number + 1:05d}-of-{count:05d}{SUFFIX}"


def list_parts(name: str) -> tuple[str, ...]:
    """The names of all parts of the set that the file `name` belongs to, in order; the file alone if it is no part."""
    found = _PART.fullmatch(name)
    if not found:
        return (name,)
    return tuple(make_part_name(found[1], number, int(found[3])) for number in range(min(int(found[3]), 9999)))


def find_models(names: Iterable[str]) -> tuple[str, ...]:
    """The first file of each checkpoint among the files `names` of a folder, sorted.

    Projectors of images (`mmproj`) and files in subfolders are left out.
    """
    own = (name for name in names if name.endswith(SUFFIX) and "/" not in name and not _PROJECTOR.search(name))
    return tuple(sorted({list_parts(name)[0] for name in own}))
