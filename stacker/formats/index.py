"""Names shard files, and parses, makes and checks `model.safetensors.index.json`, which says where each tensor is.

Like other loaders, stacker uses an index only to find the shards; the header of each shard says which tensors the
shard has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stacker.errors import Blame, DonorError, Mark, Problem, Severity, UnsafeError, escape_text
from stacker.formats.json_object import MOST_TENSORS, Json, parse_object
from stacker.formats.safetensors import Header

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_INDEX_BYTES = 64_000_000
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_MAX_LISTED = 3
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|\\|(^|/)\.\.(/|$)|\0")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def make_shard_name(number: int, count: int) -> str:
    """The file name that transformers gives to shard `number` (counted from 0) of `count` shards."""
    return SINGLE_FILE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def find_shards(names: Iterable[str]) -> list[str]:
    """The names of numbered shards (`model-00001-of-00003.safetensors`) among `names`, sorted.

    The list is empty unless these shards are exactly one complete set.
    """
    shards = {name: match for name in names if (match := _SHARD.fullmatch(name))}
    counts = {int(match[2]) for match in shards.values()}
    numbers = sorted(int(match[1]) for match in shards.values())
    return sorted(shards) if len(counts) == 1 and numbers == list(range(1, max(counts) + 1)) else []


def make_index(weight_map: Mapping[str, str], total_size: int, total_parameters: int) -> dict[str, Json]:
    """The content of an index file as transformers writes it; `weight_map` maps each tensor to the name of its file.

    `total_size` is the size of all tensors in bytes, `total_parameters` the number of elements of all tensors.
    """
    metadata: dict[str, Json] = {"total_parameters": total_parameters, "total_size": total_size}
    return {"metadata": metadata, "weight_map": dict(weight_map)}


@dataclass(frozen=True, slots=True)
class Index:
    """A parsed index; `weight_map` maps each tensor to the name of its file, and `where` names the index in messages.

    `total_size` is the size of all tensors in bytes as the index states it; None if the index states no size.
    """

    where: str
    weight_map: Mapping[str, str] = field(repr=False)
    total_size: int | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the shards in the index, each once, sorted."""
        return tuple(sorted(set(self.weight_map.values())))


def parse_index(data: bytes, where: str) -> Index:
    """Parse the bytes of an index file; `where` names the file in messages.

    UnsafeError when the index names a file outside the donor's folder; DonorError when the index is malformed, or names
    a file that is not a safetensors file.
    """
    table = parse_object(data, where, MOST_TENSORS)
    weight_map = table.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise DonorError.of("the index has no `weight_map`, or an empty one", "fetch the file again", Mark(where))
    files = {name: None for name in weight_map.values() if isinstance(name, str)}
    if not all(isinstance(name, str) for name in weight_map.values()):
        raise DonorError.of("the index maps a tensor to something that is not a file name", "", Mark(where))
    for name in files:
        _check_name(name, where)
    _check_case(list(files), where)
    metadata = table.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    total = total if type(total) is int else None
    return Index(where, {tensor: str(name) for tensor, name in weight_map.items()}, total)


def _check_name(name: str, where: str) -> None:
    if _OUTSIDE.search(name):
        message = f"the index names '{escape_text(name)}', which leads out of the donor's folder"
        raise UnsafeError.of(message, "do not use this donor unless you know why it does that", Mark(where))
    if name.endswith(_PICKLES):
        message = f"the index names '{escape_text(name)}', a pickle, which can run code when it is opened"
        raise DonorError.of(message, "convert the donor to safetensors first", Mark(where))
    if "/" in name or not name.endswith(".safetensors"):
        raise DonorError.of(f"the index names '{escape_text(name)}', not a safetensors file beside it", "", Mark(where))


def _check_case(files: Sequence[str], where: str) -> None:
    """Raise a DonorError if file names differ only in case, because many filesystems treat them as one file."""
    count = Counter(name.casefold() for name in files)
    alike = sorted(name for name in files if count[name.casefold()] > 1)
    if alike:
        message = f"the index names shards that differ only in case: {', '.join(map(escape_text, alike[:_MAX_LISTED]))}"
        raise DonorError.of(message, "on many disks they are one file: rename them", Mark(where))


def check_index(index: Index, headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Compare an index with the headers of the shards (by file name) and yield the differences as problems.

    Errors are for tensors that are in no shard, in two shards, or in another shard than the index says; warnings are
    for tensors that the index does not list, and for a wrong total size.
    """
    found: dict[str, str] = {}
    twice = [
        f"{tensor.spec.name} (in {found[tensor.spec.name]} and {file})"
        for file, header in headers.items()
        for tensor in header.tensors
        if found.setdefault(tensor.spec.name, file) != file
    ]
    lost = [f"{name} (in {file})" for name, file in index.weight_map.items() if name not in found]
    moved = [
        f"{name} (not in {file} but in {found[name]})"
        for name, file in index.weight_map.items()
        if found.get(name, file) != file
    ]
    unlisted = [name for name in found if name not in index.weight_map]
    yield from _list_names(index, "tensors are in two shards", twice)
    yield from _list_names(index, "tensors of the index are in no shard", lost)
    yield from _list_names(index, "tensors are not in the shard that the index says", moved)
    yield from _list_names(index, "tensors are in a shard but not in the index", unlisted, Severity.WARNING)
    yield from _check_total(index, headers)


def _list_names(index: Index, what: str, names: list[str], severity: Severity = Severity.ERROR) -> Iterator[Problem]:
    if names:
        more = f", and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        message = f"{len(names)} {what}: {', '.join(escape_text(name, 200) for name in names[:_MAX_LISTED])}{more}"
        hint = "" if severity is Severity.WARNING else "index and shards are of different downloads: fetch them again"
        yield Problem(message, hint, Mark(index.where), severity, Blame.DONOR)


def _check_total(index: Index, headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Yield a warning when the total size in the index is not the number of bytes that all tensors take."""
    total = sum(tensor.nbytes for header in headers.values() for tensor in header.tensors)
    if index.total_size not in (None, total):
        message = f"the index says {index.total_size:,} bytes of tensors, the shards have {total:,}"
        yield Problem(message, "", Mark(index.where), Severity.WARNING, Blame.DONOR)
