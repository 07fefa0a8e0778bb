"""A whole file of the model hub, downloaded into its cache by huggingface_hub: checked, shared, never fetched twice.

Knows how to see that it will fit and how to tell its progress; not what is in the file.
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


def download(place: HubAddress, size: int | None, progress: Progress) -> None:
    """Have the file at `place` in the hub's cache; `progress` is told its `size` bytes in all, if the size is known."""
    from huggingface_hub import hf_hub_download

    _check_space(place, size)
    told = 0

    def tell(nbytes: int) -> None:
        nonlocal told
        told += nbytes
        progress(nbytes)

    # Older releases of the client draw a bar of their own and take none from us.
    bars = {"tqdm_class": _bar(tell)} if "tqdm_class" in inspect.signature(hf_hub_download).parameters else {}
    fetch: Callable[..., Any] = hf_hub_download
    retry(place, lambda: fetch(place.repo, place.file, revision=place.revision, **bars))
    if size is not None and told != size:
        progress(size - told)


def _check_space(place: HubAddress, size: int | None) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    if size is not None and size > (free := count_free_bytes(cache)):
        message = f"no space for the download: it has {size:,} bytes, and {free:,} are free in the hub's cache"
        raise StorageError.of(message, f"the cache is {cache}; HF_HUB_CACHE puts it elsewhere", Mark(str(place)))


def _bar(progress: Progress) -> type:
    """A class that huggingface_hub takes for a progress bar, and that draws empty_mask but tells `progress`."""

    class Bar:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total, 0
            self.update(initial)

        def update(self, n: int = 1) -> None:
            self.n += n
            progress(n)

        def ignore(self, *_: object, **__: object) -> None:
            """What a bar does that only matters to one that is drawn, or for bytes counted otherwise."""

        update_transfer = set_postfix_str = set_transfer_postfix_str = set_description = refresh = close = ignore

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Bar
