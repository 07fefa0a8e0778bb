"""Requests to the hub: listing a repository's files, and retrying requests that fail for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stacker.errors import DonorError, Mark
from stacker.io.hub.errors import HubAddress, is_transient, translate_hub_errors

RETRY_PAUSES = (0.5, 1.5)
"""Seconds to wait before each retry of a request."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at a commit; `sizes` are bytes, None where unknown."""

    commit: str
    sizes: Mapping[str, int | None]


def list_files(address: HubAddress, pauses: Sequence[float] | None = None) -> Listing:
    """The files of the repository at the revision of `address`, resolved to a commit; DonorError on failure."""

    def ask() -> Listing:
        from huggingface_hub import HfApi, constants

        info = HfApi().model_info(
            address.repo, revision=address.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        if not info.sha:
            raise DonorError.of("the answer is not that of a model hub: it names no commit", "", Mark(str(address)))
        return Listing(info.sha, sizes)

    return retry(address, ask, pauses)


def retry(address: HubAddress, ask: Callable[[], T], pauses: Sequence[float] | None = None) -> T:
    """The result of `ask`, called again after each of `pauses` (seconds) while its errors are transient."""
    with translate_hub_errors(address):
        for pause in RETRY_PAUSES if pauses is None else pauses:
            try:
                return ask()
            except Exception as error:
                if not is_transient(error):
                    raise
                time.sleep(pause)
        return ask()
