"""Reads headers of safetensors files on the hub by requesting only the first bytes of each file.

Most headers take one request, long ones two. Headers are saved by commit in the assets cache of huggingface_hub, so
that reading a header again needs no request.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from stacker.errors import DonorError, Mark
from stacker.formats.gguf import parse_gguf_header
from stacker.formats.gguf_names import SUFFIX
from stacker.formats.safetensors import Header, parse_header, parse_header_length
from stacker.io.hub.errors import HubAddress
from stacker.io.hub.requests import Response, request_bytes, retry

FIRST_REQUEST = 256 * 1024
"""How many bytes of a file the first request asks for: more than nearly every header has, and quick to download."""
_GGUF_REQUEST = 8 << 20
"""How many bytes of a GGUF file a request asks for: most of these files begin with several MB of tokens."""
_SIZE = 8
"""How many bytes precede the header in a saved file: the size of the safetensors file as a little-endian integer."""


def read_hub_header(address: HubAddress) -> Header:
    """Read the header of the safetensors file at `address`, whose revision must be a commit.

    The header is saved on this machine, so that the next call for this file needs no request.
    """
    saved = _read_saved(address)
    if saved:
        return saved
    if (address.file or "").endswith(SUFFIX):
        return _fetch_gguf(address)
    raw, size = _fetch(address)
    header = parse_header(raw, size, str(address))
    _save(address, raw, size)
    return header


def _fetch_gguf(address: HubAddress) -> Header:
    """Request and save the header of a GGUF file, piece by piece, because its length is only known at its end."""
    first, size = retry(address, lambda: _read_range(address, 0, _GGUF_REQUEST))
    held = bytearray(first)

    def read(offset: int, nbytes: int) -> bytes:
        while len(held) < min(offset + nbytes, size):
            more, _ = retry(address, lambda: _read_range(address, len(held), len(held) + _GGUF_REQUEST))
            if not more:
                break
            held.extend(more)
        return bytes(held[offset : offset + nbytes])

    header = parse_gguf_header(read, size, str(address))
    _save(address, bytes(held[: header.data_start]), size)
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
        raw, size = data[_SIZE:], int.from_bytes(data[:_SIZE], "little")
        if (address.file or "").endswith(SUFFIX):
            return parse_gguf_header(lambda offset, nbytes: raw[offset : offset + nbytes], size, str(address))
        return parse_header(raw, size, str(address))
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
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(address.repo, address.file or "", revision=address.revision)
    response = request_bytes(address, url, end, {"Range": f"bytes={begin}-{end - 1}"})
    data = response.data[: end - begin] if response.status == 206 else response.data[begin:]
    return data, _file_size(response, address)


def _file_size(response: Response, address: HubAddress) -> int:
    """The size of the whole file in bytes, from the response to a request for the file or a part of it.

    DonorError when the response does not state the size.
    """
    text = response.headers.get("content-range", "").rpartition("/")[2] or response.headers.get("content-length", "")
    if not text.isdecimal() or len(text) > 20:
        raise DonorError.of("the hub does not say how long this file is", "", Mark(str(address)))
    return int(text)
