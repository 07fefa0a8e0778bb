"""Finds the safetensors files of a donor and reads their headers, but no weights.

A donor without such files gets an error that says what the donor has instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.index import INDEX_FILE, MAX_INDEX_BYTES, SINGLE_FILE, check_index, find_shards, parse_index
from stacker.formats.safetensors import Header
from stacker.io.files.repository import Repository

_CONCURRENT_REQUESTS = 8
"""How many headers are requested from the hub at the same time, because the hub answers slowly.

Headers of local files are read one after the other.
"""
_OTHER_FORMATS = (
    (r"adapter_(config\.json|model\..*)", "this is a LoRA adapter, not a whole model", "merge it into its model first"),
    (r".*\.gguf", "this donor has only GGUF files", "dequantise one into a safetensors folder with transformers first"),
    (
        r".*\.(bin|pt|pth|ckpt|pkl)",
        "this donor has only pickled weights, which can run code when they are opened",
        "convert it to safetensors first: load it with transformers and `save_pretrained` it",
    ),
    (r".*\.incomplete", "a download of this donor did not finish", "start the download again"),
    (r".*\.(h5|msgpack|onnx|npz)", "this donor has no weights that stacker reads", "save it with transformers first"),
)


@dataclass(frozen=True, slots=True)
class WeightHeaders:
    """The headers of a donor's weight files, by file name in sorted order, with warnings about harmless oddities."""

    headers: Mapping[str, Header] = field(repr=False)
    warnings: tuple[Problem, ...] = ()


def has_weights(names: Sequence[str]) -> bool:
    """Whether the names of a donor's files include a safetensors file that is not a LoRA adapter."""
    own = (name for name in names if "/" not in name)
    return any(name.endswith(".safetensors") and not name.startswith("adapter_") for name in own)


def read_weight_headers(repository: Repository) -> WeightHeaders:
    """Read the headers of all weight files of a donor; all problems in these files are raised together.

    DonorError when the donor has no weights in a format that stacker reads.
    """
    names = repository.list_names()
    if SINGLE_FILE in names:
        headers, problems = _read_headers(repository, [SINGLE_FILE])
        problems += _check_single(repository, names)
    elif INDEX_FILE in names:
        headers, problems = _read_indexed(repository, names)
    else:
        shards = find_shards(names)
        if not shards:
            raise _no_weights(repository.source, names)
        headers, problems = _read_headers(repository, shards)
    raise_problems(problems)
    return WeightHeaders(headers, tuple(problems))


def _check_single(repository: Repository, names: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning if the donor has an index of shards as well as a single weight file."""
    if INDEX_FILE in names:
        message = f"there is a {SINGLE_FILE} and an index of shards; the single file is used, as transformers does"
        hint = "remove the one that is out of date"
        yield Problem(message, hint, Mark(repository.source), Severity.WARNING, Blame.DONOR)


def _read_indexed(repository: Repository, names: Sequence[str]) -> tuple[dict[str, Header], list[Problem]]:
    """Read the headers of the shards that a donor's index names.

    Returns a dict from file name to header, and a list of the problems in the index and the shards.
    """
    where = f"{repository.source}/{INDEX_FILE}"
    index = parse_index(repository.read(INDEX_FILE, MAX_INDEX_BYTES), where)
    missing = [name for name in index.files if name not in names]
    headers, problems = _read_headers(repository, [name for name in index.files if name in names])
    if missing:
        message = f"{len(missing)} of {len(index.files)} shards are missing: {', '.join(map(escape_text, missing[:5]))}"
        problems.append(Problem(message, "fetch them, or the whole donor again", Mark(where), blame=Blame.DONOR))
    if not problems:
        problems += check_index(index, headers)
    return headers, problems


def _read_headers(repository: Repository, names: Sequence[str]) -> tuple[dict[str, Header], list[Problem]]:
    """Read the headers of the files `names`.

    Returns a dict from file name to header for files with a valid header, and a list of the problems in all other
    files.
    """
    local = all(_is_local(repository, name) for name in names)
    with nullcontext() if local else ThreadPoolExecutor(_CONCURRENT_REQUESTS) as pool:
        answers = list((pool.map if pool else map)(lambda name: _try_header(repository, name), names))
    headers = {name: answer for name, answer in zip(names, answers, strict=True) if isinstance(answer, Header)}
    return headers, [problem for answer in answers if isinstance(answer, StackerError) for problem in answer.problems]


def _is_local(repository: Repository, name: str) -> bool:
    try:
        return repository.find_path(name) is not None
    except StackerError:  # reading the header raises it again
        return True


def _try_header(repository: Repository, name: str) -> Header | StackerError:
    try:
        return repository.read_header(name)
    except StackerError as error:
        return error


def _no_weights(source: str, names: Sequence[str]) -> DonorError:
    """Make the error for a donor that has no weights in a format that stacker reads.

    The message names the format of the donor's weights if stacker recognises it.
    """
    mark = Mark(source)
    other = [name for name in names if name.endswith(".safetensors") and not name.startswith("adapter_")]
    if other:
        message = f"there is neither {SINGLE_FILE} nor {INDEX_FILE}, only {', '.join(map(escape_text, other[:3]))}"
        return DonorError.of(message, "rename the files as transformers names them", mark)
    for pattern, message, hint in _OTHER_FORMATS:
        if any(re.fullmatch(pattern, name) for name in names):
            return DonorError.of(message, hint, mark)
    hint = "to look at a stack without weights, write the donor as {source: …, like: <a config.json>}"
    return DonorError.of("there are no weights (*.safetensors) in this donor", hint, mark)
