"""Sends requests to the hub: lists the files of a repository, and repeats requests that failed for a passing reason.

The hub is not trusted: what is read of a response is limited in bytes and seconds, and names are checked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from stacker.errors import DonorError, Mark, escape_text
from stacker.formats.json_object import MAX_JSON_BYTES, Json, parse_object
from stacker.io.hub.errors import HubAddress, is_transient, translate_hub_errors

LONGEST_RESPONSE = 60.0
"""The most seconds that the body of a response may take; no whole files are read in this way."""
_LONGEST_REFUSAL = 64 * 1024
_ABOUT_BODY = ("content-encoding", "content-length", "transfer-encoding")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
RETRY_PAUSES = (0.5, 1.5)
"""Seconds to wait before each retry of a request."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a hub repository at a commit; `sizes` maps each file name to its size in bytes (None: unknown)."""

    commit: str
    sizes: Mapping[str, int | None]


def list_files(address: HubAddress, pauses: Sequence[float] | None = None) -> Listing:
    """Ask the hub for the files of a repository and for the commit of its revision; DonorError when that fails.

    `pauses` is the seconds to wait before each repetition of a failed request (None: RETRY_PAUSES).
    """

    def ask() -> Listing:
        from huggingface_hub import constants

        revision = f"/revision/{quote(address.revision, safe='')}" if address.revision else ""
        url = f"{constants.ENDPOINT}/api/models/{address.repo}{revision}?blobs=True"
        response = request_bytes(address, url, MAX_JSON_BYTES + 1)
        if len(response.data) > MAX_JSON_BYTES:
            raise _make_strange_response(address, f"it has more than {MAX_JSON_BYTES:,} bytes")
        return _parse_listing(parse_object(response.data, str(address)), address)

    return retry(address, ask, pauses)


def _parse_listing(info: Mapping[str, Json], address: HubAddress) -> Listing:
    """The files and the commit in the hub's response; DonorError for anything that could not be those of a repository.

    Commits and names become parts of paths in the hub's cache, and sizes are compared with limits.
    """
    commit, files = info.get("sha"), info.get("siblings") or []
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _make_strange_response(address, f"its commit is {escape_text(repr(commit))}")
    sizes: dict[str, int | None] = {}
    for file in files if isinstance(files, list) else [files]:
        name, size = (file.get("rfilename"), file.get("size")) if isinstance(file, dict) else (file, None)
        if not isinstance(name, str) or not _is_inside(name):
            raise _make_strange_response(address, f"a file is named {escape_text(repr(name))}")
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
            raise _make_strange_response(address, f"the size of '{escape_text(name)}' is {escape_text(repr(size))}")
        sizes[name] = size
    return Listing(commit, sizes)


def _is_inside(name: str) -> bool:
    """Whether the file `name` of a repository is certainly inside the repository's folder."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and not any(part in ("", ".", "..") for part in parts)


def _make_strange_response(address: HubAddress, what: str) -> DonorError:
    hint = "check HF_ENDPOINT and any proxy in between"
    return DonorError.of(f"the response is not that of a model hub: {what}", hint, Mark(str(address)))


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request: the first bytes of its body, its HTTP status, and its headers."""

    data: bytes
    status: int
    headers: Mapping[str, str]


def request_bytes(address: HubAddress, url: str, limit: int, headers: Mapping[str, str] | None = None) -> Response:
    """Request `url` with the user's token, and read at most `limit` bytes of the body.

    Raises huggingface_hub's exception for an error status, and DonorError when the body takes longer than
    LONGEST_RESPONSE. The token is not sent on when the hub redirects to another host.
    """
    from huggingface_hub import constants, get_session, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

    sent = build_hf_headers(headers={"Accept-Encoding": "identity", **(headers or {})})
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=sent, timeout=timeout, follow_redirects=True) as response:
        data = _read_up_to(response.iter_bytes(), _LONGEST_REFUSAL if response.is_error else limit, address)
        kept = {key: value for key, value in response.headers.items() if key not in _ABOUT_BODY}
        # a response with the bytes that were read, because hf_raise_for_status would read all that the hub sends
        read = type(response)(response.status_code, headers=kept, content=data, request=response.request)
        hf_raise_for_status(read)
        return Response(data, response.status_code, dict(response.headers))


def _read_up_to(chunks: Iterable[bytes], limit: int, address: HubAddress) -> bytes:
    data = bytearray()
    deadline = time.monotonic() + LONGEST_RESPONSE
    for chunk in chunks:
        data += chunk
        if len(data) >= limit:
            break
        if time.monotonic() > deadline:
            message = f"the hub is too slow: {len(data):,} bytes in {LONGEST_RESPONSE:g} seconds"
            raise DonorError.of(message, "try again later", Mark(str(address)))
    return bytes(data[:limit])


def retry(address: HubAddress, ask: Callable[[], T], pauses: Sequence[float] | None = None) -> T:
    """Call `ask`, which requests something from `address`, and return the result of `ask`.

    After an error that may pass, wait for the next of `pauses` (seconds; None: RETRY_PAUSES) and call `ask` again. The
    error of the last call is raised as a DonorError or StorageError.
    """
    with translate_hub_errors(address):
        for pause in RETRY_PAUSES if pauses is None else pauses:
            try:
                return ask()
            except Exception as error:
                if not is_transient(error):
                    raise
                time.sleep(pause)
        return ask()
