"""Parses and formats single values of both dialects: element types, sizes in bytes, sources of donors."""

from __future__ import annotations

import re

from pydantic import ByteSize, TypeAdapter

from stacker.errors import Mark, SpecError, did_you_mean
from stacker.formats.ggml_types import BLOCK_DTYPES
from stacker.spec.language.stack_spec import DonorSpec
from stacker.tensors import CONFIG_DTYPES, Dtype
from stacker.text.node import shorten

KEEP = "keep"
_SHORT = {
    "bf16": "bfloat16", "fp16": "float16", "f16": "float16", "half": "float16", "fp32": "float32", "f32": "float32",
    "float": "float32", "fp64": "float64", "double": "float64",
}  # fmt: skip
_QUANTISED = re.compile(r"(i?q[1-8]|tq[12])_\w+|nvfp4", re.IGNORECASE)
"""Matches llama.cpp's names of quantised types and of mixtures of them, such as `q4_k_m`."""
_SIZE = re.compile(r"\s*[0-9]{1,30}(\.[0-9]{1,30})?\s*(([kmgt]i?)?b)?\s*", re.IGNORECASE)
_LARGEST = 10**15


def parse_dtype(name: str, mark: Mark) -> Dtype | None:
    """The element type called `name`; None if `name` is `keep`. SpecError for an unknown name."""
    if name == KEEP:
        return None
    if name in CONFIG_DTYPES:
        return CONFIG_DTYPES[name]
    if name in BLOCK_DTYPES:
        return BLOCK_DTYPES[name]
    if _QUANTISED.fullmatch(name) and name.lower() not in BLOCK_DTYPES:
        message = f"nothing here can quantise to {shorten(name)}"
        raise SpecError.of(message, f"GGUF stacks can be written as {', '.join(BLOCK_DTYPES)}", mark)
    hint = f"write '{_SHORT[name]}'" if name in _SHORT else did_you_mean(name, [KEEP, *CONFIG_DTYPES, *BLOCK_DTYPES])
    raise SpecError.of(f"'{shorten(name)}' is not an element type", hint, mark)


def format_dtype(dtype: Dtype) -> str:
    """The name that specs use for an element type."""
    known = CONFIG_DTYPES | BLOCK_DTYPES
    return next((name for name, each in known.items() if each is dtype), dtype.torch_name)


def parse_size(value: str | int, mark: Mark) -> int:
    """The number of bytes in a size such as `5GB` (5,000,000,000) or `5GiB` (5 · 2^30); SpecError for other text."""
    if not _SIZE.fullmatch(str(value)):
        hint = "write bytes, or a number with kB, MB, GB, KiB, MiB or GiB"
        raise SpecError.of(f"'{shorten(str(value))}' is not a size", hint, mark)
    size = TypeAdapter(ByteSize).validate_python(str(value))
    if not 1 <= size <= _LARGEST:
        raise SpecError.of(f"the size {shorten(str(value))} is out of range", "write for instance 5GB", mark)
    return int(size)


def format_size(size: int) -> str | int:
    """A size in bytes as text in the largest unit that divides it, such as `5GB`; as a plain number if no unit does."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return size


_HUB = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)@(?P<revision>[\w./-]+)")
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_URL = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<id>[\w.-]+/[\w.-]+)/?")


def parse_source(name: str, source: str, mark: Mark | None) -> DonorSpec:
    """The donor `name` from a hub id, hub id@revision, folder or address; SpecError for text that is none of these.

    Text after '@' is a revision only if the text before '@' can be a hub id.
    """
    if not source.strip():
        raise SpecError.of(f"donor '{name}' has an empty source", "write a folder or a hub id", mark)
    if not source.isprintable():
        raise SpecError.of(f"the source of donor '{name}' has control characters", "", mark)
    if is_address(source):
        _check_address(name, source, mark)
        return DonorSpec(name, source.rstrip("/"), mark=mark)
    hub = _HUB.fullmatch(source)
    if hub:
        return DonorSpec(name, hub["id"], hub["revision"], mark=mark)
    return DonorSpec(name, source, mark=mark)


def is_address(source: str) -> bool:
    """Whether a donor's source is an address, such as `s3://bucket/folder`, and neither a folder nor a hub id."""
    return "://" in source


def _check_address(name: str, source: str, mark: Mark | None) -> None:
    """Raise a SpecError for an address of another kind, or one with a password, a token or a signature in it."""
    hub = _URL.fullmatch(source)
    if hub:
        raise SpecError.of(f"the source of donor '{name}' is the URL of a hub page", f"write {hub['id']}", mark)
    scheme, _, rest = source.partition("://")
    place = rest.partition("/")[0]
    if "@" in place or "?" in rest or "#" in rest:
        hint = "write the address alone: credentials are taken from the environment, and a spec is copied into outputs"
        raise SpecError.of(f"the source of donor '{name}' may hold credentials", hint, mark)
    if scheme not in ADDRESSES or not place or ".." in rest.split("/"):
        hint = f"write a folder, a hub id such as org/name, or an address: {', '.join(ADDRESSES.values())}"
        message = f"the source of donor '{name}' is no address that can be read: {shorten(source)}"
        raise SpecError.of(message, hint, mark)


ADDRESSES = {
    "s3": "s3://bucket/folder",
    "gs": "gs://bucket/folder",
    "az": "az://account/container/folder",
    "https": "https://host/folder",
    "http": "http://host/folder",
}
"""The schemes of addresses of donors, each with its form."""


def format_source(donor: DonorSpec) -> str:
    """The source of a donor as text, followed by `@` and its revision if it has one."""
    return f"{donor.source}@{donor.revision}" if donor.revision else str(donor.source)


def make_donor_name(source: str, taken: set[str]) -> str:
    """A name for a donor, made from the last part of its hub id or path.

    If that name is in `taken`, a number is appended.
    """
    last = source.rstrip("/").rpartition("/")[2]
    name = _PLAIN.sub("-", last).strip("-") or "donor"
    numbered = (name if count == 1 else f"{name}-{count}" for count in range(1, len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)
