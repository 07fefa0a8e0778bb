"""Headers of safetensors files on the model hub, without their weights: one range request each, two for a long one.

A header is kept in the assets cache of huggingface_hub, by commit and so for good: looking again asks for nothing, and
works without the hub.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from stacker.errors import DonorError, Mark
from stacker.formats.safetensors import Header, parse_header, parse_header_length
from stacker.io.hub.errors import HubAddress
from stacker.io.hub.requests import retry

FIRST_REQUEST = 256 * 1024
"""Bytes asked for first: more than the header of nearly every file, and little to wait for."""
_CHUNK = 64 * 1024
_SIZE = 8
"""Bytes before a kept header: the size of its file, little-endian."""
Response = Any
"""An answer of httpx or httpx2: which of them depends on the release of huggingface_hub."""


def read_hub_header(place: HubAddress) -> Header:
    """The header of the safetensors file at `place`, a commit's: the one that was kept, or else the hub's."""
    kept = _kept(place)
    if kept:
        return kept
    raw, size = _fetch(place)
    header = parse_header(raw, size, str(place))
    _keep(place, raw, size)
    return header


def _fetch(place: HubAddress) -> tuple[bytes, int]:
    """Everything before the data of a file, and the size of the whole file."""
    first, size = retry(place, lambda: _read_range(place, 0, FIRST_REQUEST))
    length = parse_header_length(first[:64], size, str(place))
    if length > len(first):
        rest, _ = retry(place, lambda: _read_range(place, len(first), length))
        first += rest
    return first[:length], size


def _kept(place: HubAddress) -> Header | None:
    """The header from an earlier look; None when there is none, or not a whole one."""
    with contextlib.suppress(OSError, ValueError, DonorError):
        data = _keeping_place(place).read_bytes()
        return parse_header(data[_SIZE:], int.from_bytes(data[:_SIZE], "little"), str(place))
    return None


def _keep(place: HubAddress, raw: bytes, size: int) -> None:
    # Keeping is a convenience: a cache that cannot be written does not keep anybody from reading.
    with contextlib.suppress(OSError, ValueError):
        path = _keeping_place(place)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(size.to_bytes(_SIZE, "little") + raw)
        part.replace(path)


def _keeping_place(place: HubAddress) -> Path:
    from huggingface_hub import cached_assets_path, constants

    folder = cached_assets_path("stacker", place.repo, place.revision or "", assets_dir=constants.HF_ASSETS_CACHE)
    return folder / f"{(place.file or '').replace('/', '--')}.header"


def _read_range(place: HubAddress, begin: int, end: int) -> tuple[bytes, int]:
    """Bytes [begin, end) of a file, fewer where it ends before, and the size of the whole file.

    Reads no further than `end` even from a server that answers with the whole file.
    """
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

    url = hf_hub_url(place.repo, place.file or "", revision=place.revision)
    headers = build_hf_headers(headers={"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"})
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        partial = response.status_code == 206
        data = _read_up_to(response, end - begin if partial else end)
        size = _size(response, place)
    return (data if partial else data[begin:]), size


def _read_up_to(response: Response, limit: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes(_CHUNK):
        data += chunk
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def _size(response: Response, place: HubAddress) -> int:
    """Bytes of the whole file, from the answer to a range request or to a plain one."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    if not text.isdecimal():
        raise DonorError.of("the hub does not say how long this file is", "", Mark(str(place)))
    return int(text)
