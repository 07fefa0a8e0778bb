"""What stacker asks the model hub itself: a repository's files at a commit, and the headers of safetensors files.

Through huggingface_hub's session, addresses and tokens. A header costs one range request, two where it is long; no
weights are asked for. Downloads of whole files are `hub_download`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from stacker.errors import DonorError, Mark
from stacker.io.hub_errors import Place, in_our_words, worth_another_try
from stacker.io.safetensors import Header, header_length, parse_header

GUESS = 256 * 1024
"""Bytes asked for first: more than the header of nearly every file, and little to wait for."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds to wait before each new try of a request that failed in passing."""
_CHUNK = 64 * 1024
T = TypeVar("T")
Response = Any
"""An answer of httpx or httpx2: which of them depends on the release of huggingface_hub."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at a commit, with their bytes where known."""

    commit: str
    sizes: Mapping[str, int | None]


def list_files(place: Place, pauses: Sequence[float] | None = None) -> Listing:
    """What the repository holds at `place`'s revision, which is resolved to a commit; DonorError says why not."""

    def ask() -> Listing:
        from huggingface_hub import HfApi, constants

        info = HfApi().model_info(
            place.repo, revision=place.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        if not info.sha:
            raise DonorError.of("the answer is not that of a model hub: it names no commit", "", Mark(str(place)))
        return Listing(info.sha, sizes)

    return patiently(place, ask, pauses)


def fetch_header(place: Place) -> Header:
    """The header of the safetensors file at `place`, by range requests."""
    first, size = patiently(place, lambda: _read_range(place, 0, GUESS))
    length = header_length(first[:64], size, str(place))
    if length > len(first):
        rest, _ = patiently(place, lambda: _read_range(place, len(first), length))
        first += rest
    return parse_header(first[:length], size, str(place))


def patiently(place: Place, ask: Callable[[], T], pauses: Sequence[float] | None = None) -> T:
    """The answer to `ask`, tried anew after each of `pauses` (seconds) where it failed in passing."""
    with in_our_words(place):
        for pause in PAUSES if pauses is None else pauses:
            try:
                return ask()
            except Exception as error:
                if not worth_another_try(error):
                    raise
                time.sleep(pause)
        return ask()


def _read_range(place: Place, begin: int, end: int) -> tuple[bytes, int]:
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


def _size(response: Response, place: Place) -> int:
    """Bytes of the whole file, from the answer to a range request or to a plain one."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    if not text.isdecimal():
        raise DonorError.of("the hub does not say how long this file is", "", Mark(str(place)))
    return int(text)
