"""Opens object stores by address, and explains their errors without repeating what servers say.

Credentials come from where the tools of each cloud look for them. Answers of servers may repeat keys and signatures, so
no text of theirs reaches a message.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from stacker.errors import DonorError, Mark, SpecError, StackerError, StorageError
from stacker.io.ranges.fetching import PAUSES

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_WAIT = timedelta(seconds=10)
_LONGEST = timedelta(hours=1)
"""Time limits of one request are set by who reads; this only ends requests that nobody reads any more."""
_STATUS = re.compile(r"status code:?\s+(\d{3})\b|HTTP (\d{3})\b|\b([45]\d\d) [A-Z][a-z]+")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""Variables with the address of another S3 server than Amazon's."""
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION, or a profile in ~/.aws if boto3 is installed",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_USE_AZURE_CLI=true",
}
"""Where credentials come from, by the scheme of addresses."""
Answer = TypeVar("Answer")


def split_address(address: str) -> tuple[str, str]:
    """The folder and the file name of an address."""
    folder, _, name = address.rpartition("/")
    return folder, name


@lru_cache(maxsize=64)
def open_store(folder: str) -> ObjectStore:
    """The store of a folder such as `s3://bucket/models/a`, to read from; nothing is requested yet.

    A request that fails is not repeated. SpecError when the package obstore is missing, DonorError when the address or
    the settings cannot be used.
    """
    return _open_store(folder, {"max_retries": 0})


@lru_cache(maxsize=8)
def open_writing_store(folder: str) -> ObjectStore:
    """The store of a folder as `open_store` returns it, to write to: requests that fail are repeated for a while."""
    backoff = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=8), "base": 2}
    return _open_store(folder, {"max_retries": 6, "retry_timeout": timedelta(minutes=2), "backoff": backoff})


def _open_store(folder: str, retries: dict[str, Any]) -> ObjectStore:
    try:
        from obstore.store import from_url
    except ImportError as error:
        hint = "install it: pip install 'stacker-llm[storage]'"
        raise SpecError.of("object storage needs the package obstore", hint, Mark(folder)) from error
    options: Any = {"connect_timeout": _WAIT, "read_timeout": _WAIT, "timeout": _LONGEST}
    if any(place.startswith("http://") for place in (folder, *map(os.environ.get, _ENDPOINTS, ("", "")))):
        options["allow_http"] = True
    settings: dict[str, Any] = {"client_options": options, "retry_config": retries}
    provider = _find_profile() if folder.startswith("s3://") else None
    if provider is not None:
        settings["credential_provider"] = provider
    try:
        return from_url(folder, **settings)
    except Exception as error:
        raise explain_storage_error(error, folder) from error


def _find_profile() -> Any:
    """What reads the user's AWS profile; None if there are keys in the environment, or boto3 is not installed."""
    if "AWS_ACCESS_KEY_ID" in os.environ or "AWS_SKIP_SIGNATURE" in os.environ:
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except Exception:  # without a profile, obstore asks the machine that it runs on
        return None


def is_transient(error: Exception) -> bool:
    """Whether a request that failed like this may succeed later."""
    from obstore import exceptions

    lasting = (
        FileNotFoundError,
        exceptions.NotFoundError,
        exceptions.PermissionDeniedError,
        exceptions.UnauthenticatedError,
        exceptions.InvalidPathError,
        exceptions.NotSupportedError,
        exceptions.UnknownConfigurationKeyError,
    )
    if isinstance(error, lasting) or not isinstance(error, exceptions.BaseError | OSError):
        return False
    status = _find_status(error)
    return status is None or status >= 500 or status in (408, 429)


def _find_status(error: Exception) -> int | None:
    found = _STATUS.search(str(error))
    return int(next(filter(None, found.groups()))) if found else None


def explain_storage_error(
    error: Exception, address: str, kind: type[DonorError | StorageError] = DonorError
) -> StackerError:
    """Make the error that says what went wrong at `address`, without what the server said."""
    from obstore import exceptions

    keys = _KEYS.get(address.partition("://")[0], "nothing: web servers are asked without credentials")
    mark = Mark(address)
    status = _find_status(error)
    match error:
        case exceptions.BaseError() if status == 404:
            return kind.of("there is no such bucket or object", "check the bucket and the path", mark)
        case FileNotFoundError() | exceptions.NotFoundError():
            return kind.of("there is no such object", "check the bucket and the path", mark)
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            return kind.of("the server refuses access", f"credentials are taken from {keys}", mark)
        case exceptions.BaseError() | OSError():
            said = f"the server answers with HTTP {status}" if status else "the server does not answer as it should"
            return kind.of(said, f"try again later; credentials are taken from {keys}", mark)
        case _:
            return kind.of(f"this address or its settings cannot be used ({type(error).__name__})", keys, mark)


def ask(request: Callable[[], Answer], address: str) -> Answer:
    """Make a small request, and repeat it while it may succeed later; DonorError when it fails for good."""
    for pause in (*PAUSES, None):
        try:
            return request()
        except StackerError:
            raise
        except Exception as error:
            if pause is None or not is_transient(error):
                raise explain_storage_error(error, address) from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


NEVER = threading.Event()
"""An event that is never set, for reading that nobody stops."""
