"""Reads ranges of a file on the hub. The server that stores the file is asked directly once the hub has named it.

The user's token is sent to the hub alone. Every response must be about the version of the file that was opened.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stacker.errors import DonorError, Mark, StackerError, escape_text
from stacker.formats.safetensors import RemoteStamp
from stacker.io.hub.errors import HubAddress, explain_hub_error, is_transient

_LONGEST_REFUSAL = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_ADDRESS = re.compile(r"(?P<repo>[^@]+)@(?P<commit>[^/]+)/(?P<file>.+)")
_EXPIRED = frozenset({301, 302, 303, 307, 308, 400, 401, 403, 404, 410})
"""Statuses with which a storage server answers when the link that the hub gave is no longer valid."""
_MOST_REDIRECTS = 5


class WrongResponseError(Exception):
    """A server's response to a request for a range is not the range that was asked for."""


class ExpiredError(Exception):
    """The link to a file on a storage server is no longer valid; the hub gives a new one."""


@dataclass(slots=True)
class HubFile:
    """One version of a file on the hub; see RemoteFile.

    `location` is where the hub sends clients for the bytes, or None to ask the hub again. `stored` is the version that
    the storage server states there, which may differ from the one that the hub states.
    """

    address: HubAddress
    stamp: RemoteStamp = field(default_factory=lambda: RemoteStamp("", 0))
    stored: RemoteStamp | None = None
    location: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def source(self) -> str:
        return str(self.address)

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        location = self.location
        with _request(self.address, location, begin, end) as (response, redirects):
            if not response.is_success:
                self._refuse(response, location or (str(response.url) if redirects else None))
            if location is None:
                self._note_location(response, redirects)
            self._check_version(response)
            _check_range(response, begin, end, self.stamp.size)
            yield from _take(response.iter_raw(), end - begin)

    def _refuse(self, response: Any, location: str | None) -> None:
        """Raise the exception for a response that is an error, or a redirect in vain."""
        from huggingface_hub import hf_raise_for_status

        if location is not None and response.status_code in _EXPIRED:
            with self.lock:
                self.location = None if self.location == location else self.location
            raise ExpiredError(f"HTTP {response.status_code}")
        if response.status_code == 416:
            raise self._make_changed_error("it is shorter now")
        if not response.is_error:
            raise WrongResponseError(f"it answers with HTTP {response.status_code}")
        data = b"".join(_take(response.iter_raw(), _LONGEST_REFUSAL, exact=False))
        # a response with the bytes that were read, because hf_raise_for_status would read all that the server sends
        kept = {key: value for key, value in response.headers.items() if not key.startswith(("content-", "transfer-"))}
        hf_raise_for_status(type(response)(response.status_code, headers=kept, content=data, request=response.request))

    def _note_location(self, response: Any, redirects: Sequence[Mapping[str, str]]) -> None:
        """Keep the link to the storage server, and check that the hub still speaks of the same version."""
        stated = _read_stamp(response, redirects)
        with self.lock:
            if self.stamp.size and stated != self.stamp:
                raise self._make_changed_error("the hub names another version of it")
            self.stamp = stated
            self.location = str(response.url) if redirects else None

    def _check_version(self, response: Any) -> None:
        found = RemoteStamp(_read_etag(response.headers), _read_size(response))
        with self.lock:
            self.stored = self.stored or found
            if found != self.stored or found.size != self.stamp.size:
                raise self._make_changed_error(f"its ETag or its size was {_show(self.stored)} and is {_show(found)}")

    def _make_changed_error(self, change: str) -> DonorError:
        hint = "build again, and pin the commit (owner/name@commit) if it changes often"
        message = f"the donor's file changed on the server while it was read: {change}"
        return DonorError.of(message, hint, Mark(str(self.address)))

    def find_pause(self, error: Exception) -> float | None:
        if isinstance(error, WrongResponseError | ExpiredError):
            return 0.0
        if not is_transient(error):
            return None
        headers = getattr(getattr(error, "response", None), "headers", {})
        after = str(headers.get("retry-after", ""))
        return float(after) if after.isdecimal() and len(after) < 6 else 0.0

    def explain(self, error: Exception) -> StackerError:
        if isinstance(error, WrongResponseError | ExpiredError):
            message = f"the server does not send the ranges of this file that it is asked for: {error}"
            return DonorError.of(
                message, "build without --stream, which downloads whole files", Mark(str(self.address))
            )
        return explain_hub_error(error, self.address)


def open_hub_file(name: str) -> HubFile:
    """The file at `hf://owner/name@commit/file`; nothing is requested yet."""
    parts = _ADDRESS.fullmatch(name.removeprefix("hf://"))
    if parts is None:
        raise DonorError.of(f"'{escape_text(name)}' is not the address of a file on the hub")
    return HubFile(HubAddress(parts["repo"], parts["commit"], parts["file"]))


@contextmanager
def _request(address: HubAddress, location: str | None, begin: int, end: int) -> Iterator[tuple[Any, list[Any]]]:
    """Yield the response to a request for a range before its body is read, and the headers of redirects before it.

    Without a `location`, the hub is asked, with the user's token; the token is not sent on to another host. Bodies of
    redirects are not read, and no redirect of a `location` is followed.
    """
    from huggingface_hub import constants, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

    wanted = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    url = location or hf_hub_url(address.repo, address.file or "", revision=address.revision)
    headers = wanted if location else build_hf_headers(headers=wanted)
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session = get_session()
    redirects: list[Any] = []
    request = session.build_request("GET", url, headers=headers, timeout=timeout)
    while True:
        response = session.send(request, stream=True, follow_redirects=False)
        try:
            if location or not response.next_request or len(redirects) == _MOST_REDIRECTS:
                yield response, redirects
                return
            redirects.append(response.headers)
            request = response.next_request  # made by the client, which removes the token for another host
        finally:
            response.close()


def _read_stamp(response: Any, redirects: Sequence[Mapping[str, str]]) -> RemoteStamp:
    """The version of the file that the hub states where it redirects, or else the one that the response states."""
    for headers in redirects:
        size = headers.get("x-linked-size", "")
        if "x-linked-etag" in headers and size.isdecimal():
            return RemoteStamp(headers["x-linked-etag"], int(size))
    return RemoteStamp(_read_etag(response.headers), _read_size(response))


def _read_etag(headers: Mapping[str, str]) -> str:
    return headers.get("etag") or headers.get("last-modified") or ""


def _read_size(response: Any) -> int:
    """The size of the whole file, as the response to a request for a range states it."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if response.status_code != 206 or not found:
        raise WrongResponseError(f"it answers with HTTP {response.status_code} and no Content-Range")
    return int(found[3])


def _check_range(response: Any, begin: int, end: int, size: int) -> None:
    found = _CONTENT_RANGE.fullmatch(response.headers["content-range"])
    length = response.headers.get("content-length")
    if not found or (int(found[1]), int(found[2]) + 1) != (begin, min(end, size)):
        raise WrongResponseError(f"asked for {begin}-{end - 1}, it sends {response.headers['content-range']}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise WrongResponseError("it sends the bytes in another encoding")
    if length is not None and length != str(min(end, size) - begin):
        raise WrongResponseError(f"asked for {end - begin} bytes, it announces {length}")


def _take(pieces: Iterator[bytes], nbytes: int, *, exact: bool = True) -> Iterator[bytes]:
    """Yield pieces with at most `nbytes` bytes in all; WrongResponseError if more come and `exact` is set."""
    for piece in pieces:
        yield piece[:nbytes]
        if len(piece) > nbytes and exact:
            raise WrongResponseError("more bytes came than were asked for")
        nbytes -= len(piece)
        if nbytes < 0:
            return


def _show(stamp: RemoteStamp) -> str:
    return f"{escape_text(stamp.etag) or 'none'} of {stamp.size:,} bytes"
