"""Translates exceptions of huggingface_hub into errors that say what happened and what the user can do.

This is the only module that explains these exceptions; it knows nothing of headers or configs.
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
"""HTTP statuses after which the same request may succeed a moment later."""
_COMMIT = re.compile("[0-9a-f]{40}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class HubAddress:
    """The address of a repository on the hub, or of the file `file` in that repository.

    `revision` is a branch, a tag or a commit; None means the default branch.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        """The address as a spec writes it, such as `owner/name@revision`; a commit is shortened to 12 digits."""
        revision = self.revision or ""
        at = f"@{revision[:12] if _COMMIT.fullmatch(revision) else revision}" if revision else ""
        return self.repo + at + (f"/{self.file}" if self.file else "")

    @property
    def page(self) -> str:
        """The URL of the repository's web page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repo}"


@contextmanager
def translate_hub_errors(address: HubAddress) -> Iterator[None]:
    """Turn any exception in the `with` block into a DonorError or a StorageError about `address`.

    Put only calls of huggingface_hub into the block: every exception is caught, because huggingface_hub raises more
    kinds of exceptions than it documents.
    """
    try:
        yield
    except StackerError:
        raise
    except Exception as error:
        raise explain_hub_error(error, address) from error


def is_transient(error: Exception) -> bool:
    """Whether repeating the failed request may succeed a moment later: the connection broke, or the server is busy."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUSES
    return _is_transport(error)


def explain_hub_error(error: Exception, address: HubAddress) -> StackerError:
    """Make the error that tells the user what an exception of huggingface_hub means.

    The error is a StorageError if the hub's local cache cannot be used, otherwise a DonorError.
    """
    from huggingface_hub import errors

    cause = _find_cause(error)
    for kind, words in _EXPLANATIONS:
        if isinstance(cause, getattr(errors, kind)):
            return _donor_error(address, words(cause, address))
    if _is_transport(cause):
        return _donor_error(address, _explain_unreachable(cause))
    if isinstance(cause, OSError) and cause.errno is not None:
        return _storage_error(cause, address)
    return _donor_error(address, _explain_other(cause))


Words = tuple[str, str]
"""The message and the hint of an error, in this order."""


def _donor_error(address: HubAddress, words: Words) -> DonorError:
    return DonorError.of(*words, Mark(str(address)))


def _find_cause(error: Exception) -> Exception:
    """The exception to explain to the user: what caused a FileNotFoundError or RuntimeError, or else `error` itself.

    huggingface_hub raises a FileNotFoundError when a file is not in the cache and the request for that file failed, and
    a RuntimeError when a file could not be uploaded.
    """
    behind = error.__cause__
    return behind if isinstance(error, FileNotFoundError | RuntimeError) and isinstance(behind, Exception) else error


def _is_transport(error: Exception) -> bool:
    """Whether a request failed because no answer arrived.

    Whether huggingface_hub uses httpx or httpx2 depends on its release; the first base class of HfHubHTTPError is the
    error class of the client that it uses.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError.__bases__[0]) and not isinstance(error, HfHubHTTPError)


def _explain_gated(error: Exception, address: HubAddress) -> Words:
    if _status_of(error) == 401:
        return "this repository is gated, and you are not logged in", f"accept its terms at {address.page}\n{_LOG_IN}"
    return "this repository is gated, and your account has no access yet", f"ask for it at {address.page}"


def _explain_disabled(_error: Exception, address: HubAddress) -> Words:
    return "the hub has disabled this repository", f"see {address.page}; take another donor"


def _explain_no_repository(_error: Exception, address: HubAddress) -> Words:
    hint = f"check the name at {address.page}\nif it is private: {_LOG_IN}"
    return "the hub has no such repository, or it is private", hint


def _explain_no_revision(_error: Exception, address: HubAddress) -> Words:
    message = f"the repository has no revision '{address.revision}'"
    return message, f"a revision is a branch, a tag or a commit: see {address.page}/commits"


def _explain_no_file(_error: Exception, address: HubAddress) -> Words:
    return "the repository has no such file", f"see {address.page}/tree/{address.revision or 'main'}"


def _explain_offline(_error: Exception, address: HubAddress) -> Words:
    what = "file" if address.file else "repository"
    return (
        f"the hub is switched off (HF_HUB_OFFLINE), and its cache does not hold this {what}",
        f"unset HF_HUB_OFFLINE, or run `hf download {address.repo}` where there is a connection",
    )


def _explain_status(error: Exception, address: HubAddress) -> Words:
    """The message and hint for a request that the hub answered with an HTTP error status."""
    status = _status_of(error)
    if status == 401:
        return "the hub does not accept your token", f"{_LOG_IN} anew"
    if status == 403:
        return "the hub refuses access with your token", f"see {address.page}; a token needs the permission to read it"
    if status == 429:
        return (
            "the hub has had too many requests from you",
            f"wait a few minutes; {_LOG_IN} for a higher limit",
        )
    if status >= 500:
        return f"the hub is failing (HTTP {status})", "try again later; files already downloaded are kept"
    return f"the hub answered HTTP {status}: {_first_line(error)}", ""


def _explain_no_hub(error: Exception, _address: HubAddress) -> Words:
    return (
        f"the response is not that of a model hub: {_first_line(error)}",
        "check HF_ENDPOINT and any proxy in between",
    )


def _explain_unreachable(error: Exception) -> Words:
    from huggingface_hub import constants

    return (
        f"cannot reach the hub at {constants.ENDPOINT}: {_first_line(error)}",
        "check the connection, and HTTPS_PROXY and HF_ENDPOINT if set; donors in the hub's cache work without",
    )


def _explain_other(error: Exception) -> Words:
    if isinstance(error, json.JSONDecodeError):
        return _explain_no_hub(error, HubAddress(""))
    if isinstance(error, OSError):
        return f"the download was cut off: {_first_line(error)}", "try again"
    return f"the hub's client failed: {type(error).__name__}: {_first_line(error)}", ""


def _storage_error(error: OSError, address: HubAddress) -> StorageError:
    from huggingface_hub import constants

    cache = constants.HF_HUB_CACHE
    hint = f"it is {cache}; HF_HUB_CACHE puts it elsewhere"
    if error.errno in _FULL:
        hint += "\n`hf cache` shows what can be deleted from it"
    return StorageError.of(f"cannot use the hub's cache: {error.strerror}", hint, Mark(str(address)))


def _status_of(error: Exception) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _first_line(error: Exception) -> str:
    """The first line of an exception's text, escaped for a terminal, or the name of its class if it has no text."""
    return escape_text(next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__), 200)


_EXPLANATIONS: tuple[tuple[str, Callable[[Exception, HubAddress], Words]], ...] = (
    ("GatedRepoError", _explain_gated),
    ("DisabledRepoError", _explain_disabled),
    ("RepositoryNotFoundError", _explain_no_repository),
    ("RevisionNotFoundError", _explain_no_revision),
    ("RemoteEntryNotFoundError", _explain_no_file),
    ("OfflineModeIsEnabled", _explain_offline),
    ("FileMetadataError", _explain_no_hub),
    ("HfHubHTTPError", _explain_status),
)
"""Names of exception classes in huggingface_hub.errors, each with the function that makes the message and hint.

The first class that fits the exception is used. Classes are given by name because huggingface_hub is imported only when
it is needed.
"""
