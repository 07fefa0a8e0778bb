"""Downloads whole files into the hub's cache with huggingface_hub, which verifies them and never downloads one twice.

This module checks the free space before a download and reports progress; it does not look into the files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from stacker.errors import Mark, StorageError
from stacker.io.disk.storage import count_free_bytes
from stacker.io.hub.errors import HubAddress
from stacker.io.hub.requests import retry
from stacker.progress import Progress


def download(address: HubAddress, size: int | None, progress: Progress) -> None:
    """Download the file at `address` into the hub's cache; `size` is the file's length in bytes, None if unknown.

    `progress` is called with the number of bytes that arrived since the last call; the numbers add up to `size`.
    """
    from huggingface_hub import hf_hub_download

    _check_space(address, size)
    reported = 0

    def report(nbytes: int) -> None:
        nonlocal reported
        reported += nbytes
        progress(nbytes)

    # Older releases of the client draw their own progress bar and accept no other.
    takes_bar = "tqdm_class" in inspect.signature(hf_hub_download).parameters
    bars = {"tqdm_class": _make_bar_class(report)} if takes_bar else {}
    fetch: Callable[..., Any] = hf_hub_download
    retry(address, lambda: fetch(address.repo, address.file, revision=address.revision, **bars))
    if size is not None and reported != size:
        progress(size - reported)


def _check_space(address: HubAddress, size: int | None) -> None:
    """Raise a StorageError when a file of `size` bytes does not fit on the disk of the hub's cache.

    Does nothing if `size` is None.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    if size is not None and size > (free := count_free_bytes(cache)):
        message = f"no space for the download: it has {size:,} bytes, and {free:,} are free in the hub's cache"
        raise StorageError.of(message, f"the cache is {cache}; HF_HUB_CACHE puts it elsewhere", Mark(str(address)))


def _make_bar_class(progress: Progress) -> type:
    """Make a class that huggingface_hub can use in place of tqdm.

    Its instances draw nothing, and call `progress` with the number of bytes of each update.
    """

    class Bar:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total, 0
            self.update(initial)

        def update(self, n: int = 1) -> None:
            self.n += n
            progress(n)

        def ignore(self, *_: object, **__: object) -> None:
            """Do nothing, in place of methods of tqdm that only draw or that count the same bytes again."""

        update_transfer = set_postfix_str = set_transfer_postfix_str = set_description = refresh = close = ignore

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Bar
