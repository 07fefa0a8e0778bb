"""What goes wrong between here and the model hub, in our words: what happened, and what to do about it.

The one place that knows huggingface_hub's exceptions. Knows nothing of caches, headers or configs.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stacker.errors import DonorError, Mark, StackerError, StorageError, escape_text

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that may be different a moment later."""
_COMMIT = re.compile("[0-9a-f]{40}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A repository of the hub, or a file in it, at a branch, tag or commit (None is the default branch)."""

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        """As a spec writes it, with a whole commit cut to what is enough to tell it."""
        revision = self.revision or ""
        at = f"@{revision[:12] if _COMMIT.fullmatch(revision) else revision}" if revision else ""
        return self.repo + at + (f"/{self.file}" if self.file else "")

    @property
    def page(self) -> str:
        """Where people look at the repository."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repo}"


@contextmanager
def translate_hub_errors(place: HubAddress) -> Iterator[None]:
    """Whatever the hub's client raises inside becomes a DonorError or a StorageError at `place`.

    Wraps single calls of that client, so that every exception is its: it documents some and lets many more through.
    """
    try:
        yield
    except StackerError:
        raise
    except Exception as error:
        raise explain(error, place) from error


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed in a moment: a broken connection, a busy or failing server."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUSES
    return _is_transport(error)


def explain(error: Exception, place: HubAddress) -> StackerError:
    """The error to end with for an exception of the hub's client."""
    from huggingface_hub import errors

    cause = _cause(error)
    for kind, words in _WORDS:
        if isinstance(cause, getattr(errors, kind)):
            return _donor_error(place, words(cause, place))
    if _is_transport(cause):
        return _donor_error(place, _unreachable(cause))
    if isinstance(cause, OSError) and cause.errno is not None:
        return _storage_error(cause, place)
    return _donor_error(place, _other(cause))


Words = tuple[str, str]
"""A message and a hint."""


def _donor_error(place: HubAddress, words: Words) -> DonorError:
    return DonorError.of(*words, Mark(str(place)))


def _cause(error: Exception) -> Exception:
    """What lies behind 'not in the cache': the request that failed before the cache was looked at."""
    behind = error.__cause__
    return behind if isinstance(error, FileNotFoundError) and isinstance(behind, Exception) else error


def _is_transport(error: Exception) -> bool:
    """Whether no answer came at all. The HTTP client (httpx or httpx2) has one base for its errors and the hub's."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError.__bases__[0]) and not isinstance(error, HfHubHTTPError)


def _gated(error: Exception, place: HubAddress) -> Words:
    if _status(error) == 401:
        return "this repository is gated, and you are not logged in", f"accept its terms at {place.page}\n{_LOG_IN}"
    return "this repository is gated, and your account has no access yet", f"ask for it at {place.page}"


def _disabled(_error: Exception, place: HubAddress) -> Words:
    return "the hub has disabled this repository", f"see {place.page}; take another donor"


def _no_repository(_error: Exception, place: HubAddress) -> Words:
    hint = f"check the name at {place.page}\nif it is private: {_LOG_IN}"
    return "the hub has no such repository, or it is private", hint


def _no_revision(_error: Exception, place: HubAddress) -> Words:
    message = f"the repository has no revision '{place.revision}'"
    return message, f"a revision is a branch, a tag or a commit: see {place.page}/commits"


def _no_file(_error: Exception, place: HubAddress) -> Words:
    return "the repository has no such file", f"see {place.page}/tree/{place.revision or 'main'}"


def _offline(_error: Exception, place: HubAddress) -> Words:
    what = "file" if place.file else "repository"
    return (
        f"this {what} is not in the hub's cache, and the hub is switched off (HF_HUB_OFFLINE)",
        f"unset HF_HUB_OFFLINE, or run `hf download {place.repo}` where there is a connection",
    )


def _answer(error: Exception, place: HubAddress) -> Words:
    """An answer that says no, by its HTTP status."""
    status = _status(error)
    if status == 401:
        return "the hub does not accept your token", f"{_LOG_IN} anew"
    if status == 403:
        return "the hub refuses access with your token", f"see {place.page}; a token needs the permission to read it"
    if status == 429:
        return "the hub has had too many requests from here", f"wait a few minutes; {_LOG_IN} for a higher limit"
    if status >= 500:
        return f"the hub is out of order (HTTP {status})", "try again later; what is fetched already is kept"
    return f"the hub answered HTTP {status}: {_text(error)}", ""


def _no_hub(error: Exception, _place: HubAddress) -> Words:
    return f"the answer is not that of a model hub: {_text(error)}", "check HF_ENDPOINT and any proxy in between"


def _unreachable(error: Exception) -> Words:
    from huggingface_hub import constants

    return (
        f"cannot reach the hub at {constants.ENDPOINT}: {_text(error)}",
        "check the connection, and HTTPS_PROXY and HF_ENDPOINT if set; donors in the hub's cache work without",
    )


def _other(error: Exception) -> Words:
    if isinstance(error, json.JSONDecodeError):
        return _no_hub(error, HubAddress(""))
    if isinstance(error, OSError):
        return f"the download was cut off: {_text(error)}", "try again"
    return f"the hub's client failed: {type(error).__name__}: {_text(error)}", ""


def _storage_error(error: OSError, place: HubAddress) -> StorageError:
    from huggingface_hub import constants

    cache = constants.HF_HUB_CACHE
    hint = f"it is {cache}; HF_HUB_CACHE puts it elsewhere"
    if error.errno in _FULL:
        hint += "\n`hf cache` shows what can be deleted from it"
    return StorageError.of(f"cannot use the hub's cache: {error.strerror}", hint, Mark(str(place)))


def _status(error: Exception) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _text(error: Exception) -> str:
    """The first line of an exception's text, fit for a terminal; its type where it has none."""
    return escape_text(next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__), 200)


_WORDS: tuple[tuple[str, Callable[[Exception, HubAddress], Words]], ...] = (
    ("GatedRepoError", _gated),
    ("DisabledRepoError", _disabled),
    ("RepositoryNotFoundError", _no_repository),
    ("RevisionNotFoundError", _no_revision),
    ("RemoteEntryNotFoundError", _no_file),
    ("OfflineModeIsEnabled", _offline),
    ("FileMetadataError", _no_hub),
    ("HfHubHTTPError", _answer),
)
"""Exceptions of huggingface_hub.errors, by name as it is imported only when needed; the first that fits counts."""
