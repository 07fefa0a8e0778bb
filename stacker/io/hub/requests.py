"""Sends requests to the hub: lists the files of a repository, and repeats requests that failed for a moment."""

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
    """The files of a hub repository at a commit; `sizes` maps each file name to its size in bytes (None: unknown)."""

    commit: str
    sizes: Mapping[str, int | None]


def list_files(address: HubAddress, pauses: Sequence[float] | None = None) -> Listing:
    """Ask the hub for the files of a repository and for the commit of its revision; DonorError when that fails.

    `pauses` is the seconds to wait before each repetition of a failed request (None: RETRY_PAUSES).
    """

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
