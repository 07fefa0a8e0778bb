"""What the model hub is asked, and how often: the files of a repository at a revision; any request again if it fails
in passing. Headers are `hub_headers`, downloads of whole files `hub_download`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stacker.errors import DonorError, Mark
from stacker.io.hub.errors import HubAddress, is_transient, translate_hub_errors

RETRY_PAUSES = (0.5, 1.5)
"""Seconds to wait before each new try of a request that failed in passing."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at a commit, with their bytes where known."""

    commit: str
    sizes: Mapping[str, int | None]


def list_files(place: HubAddress, pauses: Sequence[float] | None = None) -> Listing:
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

    return retry(place, ask, pauses)


def retry(place: HubAddress, ask: Callable[[], T], pauses: Sequence[float] | None = None) -> T:
    """The answer to `ask`, tried anew after each of `pauses` (seconds) where it failed in passing."""
    with translate_hub_errors(place):
        for pause in RETRY_PAUSES if pauses is None else pauses:
            try:
                return ask()
            except Exception as error:
                if not is_transient(error):
                    raise
                time.sleep(pause)
        return ask()
