"""Downloads whole files into the hub's cache with huggingface_hub, which verifies them and never downloads one twice.

This module checks the free space before a download, reports progress, and ends a download that brings more bytes than
the hub has announced or hardly any; it does not look into the files.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from logging import getLogger
from pathlib import Path
from typing import Any, Self

from stacker.errors import DonorError, Mark, StorageError
from stacker.io.disk.storage import count_free_bytes
from stacker.io.hub.errors import HubAddress
from stacker.io.hub.requests import retry
from stacker.progress import Progress

LONGEST_WAIT = 120.0
"""The most seconds in which fewer than LEAST_BYTES may arrive, whatever the hub does or asks to wait for."""
LEAST_BYTES = 100_000
_LOG = getLogger(__name__)
_SPARE = 1 << 20
"""How many bytes more than announced may be reported, because bytes of repeated requests can count twice."""
_LOOK = 0.5
"""Seconds between two looks at the progress of a download."""


def download(address: HubAddress, size: int | None, progress: Progress) -> None:
    """Download the file at `address` into the hub's cache; `size` is the file's length in bytes, None if unknown.

    `progress` is called with the number of bytes that arrived since the last call; the numbers add up to `size`.
    """
    from huggingface_hub import hf_hub_download

    _check_space(address, size)
    _LOG.info("fetching %s into the cache of the hub", address)
    reported = 0

    def report(nbytes: int) -> None:
        nonlocal reported
        reported += nbytes
        if size is not None and reported > size + size // 100 + _SPARE:
            message = f"the hub sends more than the {size:,} bytes that it has announced"
            raise DonorError.of(message, "check HF_ENDPOINT and any proxy in between", Mark(str(address)))
        progress(nbytes)

    def count() -> int:
        return reported + _count_unfinished(address)

    # Older releases of the client draw their own progress bar and accept no other.
    takes_bar = "tqdm_class" in inspect.signature(hf_hub_download).parameters
    bars = {"tqdm_class": _make_bar_class(report)} if takes_bar else {}
    fetch: Callable[..., Any] = hf_hub_download
    retry(
        address,
        lambda: _supervise(
            lambda: fetch(address.repo, address.file, revision=address.revision, **bars), count, address
        ),
    )
    if size is not None and reported != size:
        progress(size - reported)


def _supervise(do: Callable[[], Any], count: Callable[[], int], address: HubAddress) -> None:
    """Call `do` in another thread, and return when it does; `count` tells how many bytes have arrived so far.

    DonorError when hardly any bytes arrive; `do` is then left alone in its thread.
    """
    result: Future[None] = Future()

    def run() -> None:
        try:
            do()
        except BaseException as error:  # whatever it is, it must reach the thread that waits
            result.set_exception(error)
        else:
            result.set_result(None)

    threading.Thread(target=run, name="download", daemon=True).start()
    seen, deadline = count(), time.monotonic() + LONGEST_WAIT
    while not _has_ended(result):
        if abs(count() - seen) >= LEAST_BYTES:
            seen, deadline = count(), time.monotonic() + LONGEST_WAIT
        elif time.monotonic() > deadline:
            message = f"the hub is too slow: fewer than {LEAST_BYTES:,} bytes in {LONGEST_WAIT:g} seconds"
            raise DonorError.of(message, "try again later; what has arrived is kept", Mark(str(address)))


def _has_ended(result: Future[None]) -> bool:
    """Wait a moment for a result, and return whether it is there; raises the exception that is there in its place."""
    try:
        result.result(_LOOK)
    except TimeoutError:
        if result.done():
            raise
        return False
    return True


def _count_unfinished(address: HubAddress) -> int:
    """How many bytes the unfinished downloads of a repository have in the cache, also those of other processes."""
    from huggingface_hub import constants

    blobs = Path(constants.HF_HUB_CACHE) / f"models--{address.repo.replace('/', '--')}" / "blobs"
    total = 0
    with suppress(OSError):
        for path in blobs.glob("*.incomplete"):
            total += path.stat().st_size
    return total


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
