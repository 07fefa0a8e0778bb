"""Reads GGUF donors without their weights: metadata and tensors of a file, or of a set of parts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from stacker.arch.bindings.lengths import check_list_lengths
from stacker.arch.completeness import check_tensors
from stacker.arch.dimensions import count_layers
from stacker.arch.gguf import MOST_LAYERS, find_gguf_architecture
from stacker.arch.placement import place_tensors
from stacker.core.values.donor import Donor
from stacker.core.values.metadata import Borrowed, MetadataEntry
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, StackerError, escape_text, raise_problems
from stacker.formats.gguf import GgufHeader, encode_entry
from stacker.formats.gguf_names import find_models, list_parts
from stacker.formats.json_object import Json
from stacker.formats.safetensors import StoredTensor
from stacker.io.donors.openers import read_remote_range
from stacker.io.donors.tensors import build_files, build_tensors, default_mark
from stacker.io.files.regular_files import open_regular, read_exactly
from stacker.io.files.repository import Repository
from stacker.io.files.selected_files import SelectedFiles

_TOKENS = "tokenizer.ggml.tokens"
_SHARED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Small tensors that all layers use; donors must agree on them."""
_LARGEST_SHARED = 1 << 16


def select_model(repository: Repository) -> Repository | None:
    """The GGUF checkpoint in a repository; None if there is none, DonorError if there are several."""
    models = find_models(repository.list_names())
    if len(models) > 1:
        shown = ", ".join(escape_text(name) for name in models[:5])
        hint = f"name one of them in `source`, for example {repository.source}/{models[0]}"
        raise DonorError.of(f"there are {len(models)} GGUF models here: {shown}", hint, Mark(repository.source))
    if not models:
        return None
    return repository if isinstance(repository, SelectedFiles) else SelectedFiles(repository, models[0])


def build_gguf_donor(repository: Repository, name: str, source: str) -> Donor:
    """Read the donor `name` from the GGUF files of a repository; `source` is its source as written in the spec.

    All problems of the donor are raised together, as one error.
    """
    headers = _read_headers(repository)
    first = next(iter(headers.values()))
    config: dict[str, Json] = {entry.key: entry.value for entry in first.entries if entry.value is not None}
    specs = {tensor.spec.name: tensor.spec for header in headers.values() for tensor in header.tensors}
    where = Mark(repository.source)
    with default_mark(where):
        architecture = find_gguf_architecture(config, _extra_names(repository, headers))
        depth = count_layers(architecture, config)
        placements = place_tensors(architecture, config, specs)
        problems = [
            *check_list_lengths(architecture, config, depth),
            *check_tensors(architecture, config, specs, placements),
            *_note_inference(architecture.name, where, inferred=architecture.inferred),
            *_check_depth(depth),
        ]
    raise_problems(problems)
    files = build_files(repository, headers)
    return Donor(
        name=name,
        source=source,
        config=config,
        architecture=architecture,
        depth=depth,
        tensors=build_tensors(headers, placements),
        files=files,
        ignored=tuple((own, place.ignored) for own, place in placements.items() if place.ignored),
        revision=repository.revision,
        anchor=files[0].path,
        warnings=tuple(problems),
        metadata=tuple(
            MetadataEntry(each.key, each.kind, each.value, Borrowed(name, each.begin, each.nbytes), each.count)
            for each in first.entries
        ),
        alignment=first.alignment,
    )


def _note_inference(name: str, where: Mark, *, inferred: bool) -> Iterator[Problem]:
    if inferred:
        message = f"the architecture '{escape_text(name)}' is unknown to stacker; its layers and roles are inferred"
        hint = "check that its loader does not derive anything from a layer's index"
        yield Problem(message, hint, where, Severity.WARNING, Blame.DONOR)


def _check_depth(depth: int) -> Iterator[Problem]:
    if depth > MOST_LAYERS:
        yield Problem(f"the file has {depth} layers; llama.cpp loads at most {MOST_LAYERS}", blame=Blame.DONOR)


def _read_headers(repository: Repository) -> dict[str, GgufHeader]:
    """The headers of all parts, by file name; DonorError if parts are missing or do not belong together."""
    names = repository.list_names()
    expected = list_parts(names[0]) if names else ()
    missing = [name for name in expected if name not in names]
    if missing or not names:
        listed = ", ".join(map(escape_text, missing[:3])) or "the file"
        raise DonorError.of(f"{len(missing) or 1} of {len(expected) or 1} parts are missing: {listed}", "fetch them",
                            Mark(repository.source))  # fmt: skip
    headers: dict[str, GgufHeader] = {}
    problems: list[Problem] = []
    for name in expected:
        try:
            header = repository.read_header(name)
            assert isinstance(header, GgufHeader)
            headers[name] = header
        except StackerError as error:
            problems += error.problems
    problems += _check_parts(repository.source, headers, len(expected))
    raise_problems(problems)
    return headers


def _check_parts(source: str, headers: Mapping[str, GgufHeader], count: int) -> Iterator[Problem]:
    """Yield a problem for parts whose numbers or tensors contradict each other."""
    seen: dict[str, str] = {}
    for number, (file, header) in enumerate(headers.items()):
        stated = {entry.key: entry.value for entry in header.entries if entry.key.startswith("split.")}
        if stated.get("split.count", 1) != count or stated.get("split.no", 0) != number:
            message = (
                f"{escape_text(file)} says that it is part {stated.get('split.no')} of {stated.get('split.count')}"
            )
            yield Problem(message, "give files the names that they were written with", Mark(source), blame=Blame.DONOR)
        for tensor in header.tensors:
            if seen.setdefault(tensor.spec.name, file) != file:
                message = f"tensor '{escape_text(tensor.spec.name)}' is in {seen[tensor.spec.name]} and in {file}"
                yield Problem(message, "fetch the donor again", Mark(source), blame=Blame.DONOR)
    total = next((e.value for h in headers.values() for e in h.entries if e.key == "split.tensors.count"), None)
    if total is not None and total != len(seen) and len(headers) == count:
        message = f"the parts have {len(seen)} tensors, not {total} as the first says"
        yield Problem(message, "fetch the donor again", Mark(source), blame=Blame.DONOR)


def _extra_names(repository: Repository, headers: Mapping[str, GgufHeader]) -> dict[str, Json]:
    """Values for formulas beside the metadata: the size of the vocabulary, and digests of shared tensors."""
    first = next(iter(headers.values()))
    tokens = next((entry.count for entry in first.entries if entry.key == _TOKENS), 0)
    extra: dict[str, Json] = {"vocab_size": tokens} if tokens else {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if tensor.spec.name in _SHARED and tensor.nbytes <= _LARGEST_SHARED:
                extra[tensor.spec.name] = _digest(repository, file, tensor)
    return extra


def _digest(repository: Repository, file: str, tensor: StoredTensor) -> Json:
    """The beginning of the SHA-256 of a small tensor; None if it is on a server that does not answer."""
    path = repository.find_path(file)
    if path:
        data = read_range(path, tensor.begin, tensor.nbytes)
    else:
        try:
            data = read_remote_range(repository.source, repository.revision, file, tensor.begin, tensor.nbytes)
        except StackerError:
            return None
    return hashlib.sha256(data).hexdigest()[:12]


def read_text_entry(repository: Repository, key: str) -> bytes:
    """The text of a metadata entry of a GGUF model that is on this machine; empty if there is no such entry."""
    model = select_model(repository)
    path = model.find_path(model.list_names()[0]) if model else None
    if model is None or path is None:
        return b""
    header = model.read_header(model.list_names()[0])
    assert isinstance(header, GgufHeader)
    entry = next((each for each in header.entries if each.key == key and each.kind == "str"), None)
    if entry is None:
        return b""
    before = len(encode_entry(key, "str", ""))
    return read_range(path, entry.begin + before, entry.nbytes - before)


def read_range(path: Path, begin: int, nbytes: int) -> bytes:
    """Read bytes [begin, begin + nbytes) of a donor's file; DonorError if that fails."""
    fd = open_regular(path)
    try:
        return read_exactly(fd, nbytes, begin, path)
    finally:
        os.close(fd)
