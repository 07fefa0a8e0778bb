"""Reads headers of safetensors files on the hub by requesting only the first bytes of each file.

Most headers take one request, long ones two. Headers are saved by commit in the assets cache of huggingface_hub, so
that reading a header again needs no request.
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
"""How many bytes of a file the first request asks for: more than nearly every header has, and quick to download."""
_CHUNK = 64 * 1024
_SIZE = 8
"""How many bytes precede the header in a saved file: the size of the safetensors file as a little-endian integer."""
Response = Any
"""A response of httpx or httpx2, depending on the release of huggingface_hub."""


def read_hub_header(address: HubAddress) -> Header:
    """Read the header of the safetensors file at `address`, whose revision must be a commit.

    The header is saved on this machine, so that the next call for this file needs no request.
    """
    saved = _read_saved(address)
    if saved:
        return saved
    raw, size = _fetch(address)
    header = parse_header(raw, size, str(address))
    _save(address, raw, size)
    return header


def _fetch(address: HubAddress) -> tuple[bytes, int]:
    """Request the header of a file.

    Returns all bytes before the tensor data, and the size of the whole file in bytes.
    """
    first, size = retry(address, lambda: _read_range(address, 0, FIRST_REQUEST))
    length = parse_header_length(first[:64], size, str(address))
    if length > len(first):
        rest, _ = retry(address, lambda: _read_range(address, len(first), length))
        first += rest
    return first[:length], size


def _read_saved(address: HubAddress) -> Header | None:
    """The header that an earlier call saved on this machine; None when no undamaged header is saved."""
    with contextlib.suppress(OSError, ValueError, DonorError):
        data = _saved_path(address).read_bytes()
        return parse_header(data[_SIZE:], int.from_bytes(data[:_SIZE], "little"), str(address))
    return None


def _save(address: HubAddress, raw: bytes, size: int) -> None:
    # A cache that cannot be written must not prevent reading.
    with contextlib.suppress(OSError, ValueError):
        path = _saved_path(address)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(size.to_bytes(_SIZE, "little") + raw)
        part.replace(path)


def _saved_path(address: HubAddress) -> Path:
    from huggingface_hub import cached_assets_path, constants

    folder = cached_assets_path("stacker", address.repo, address.revision or "", assets_dir=constants.HF_ASSETS_CACHE)
    return folder / f"{(address.file or '').replace('/', '--')}.header"


def _read_range(address: HubAddress, begin: int, end: int) -> tuple[bytes, int]:
    """Request the bytes [begin, end) of a file; returns the bytes received and the size of the whole file in bytes.

    Fewer bytes are returned if the file ends before `end`. If the server sends the whole file instead of the range,
    reading stops at `end`.
    """
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

    url = hf_hub_url(address.repo, address.file or "", revision=address.revision)
    headers = build_hf_headers(headers={"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"})
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        partial = response.status_code == 206
        data = _read_up_to(response, end - begin if partial else end)
        size = _file_size(response, address)
    return (data if partial else data[begin:]), size


def _read_up_to(response: Response, limit: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes(_CHUNK):
        data += chunk
        if len(data) >= limit:
            break
    return bytes(data[:limit])


def _file_size(response: Response, address: HubAddress) -> int:
    """The size of the whole file in bytes, from the response to a request for the file or a part of it.

    DonorError when the response does not state the size.
    """
    text = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    if not text.isdecimal():
        raise DonorError.of("the hub does not say how long this file is", "", Mark(str(address)))
    return int(text)
