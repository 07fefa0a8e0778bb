"""Chooses how a build gets at weights that are on a server: it fetches whole files first, or reads ranges of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum

from stacker.core.values.donor import Donor, DonorFile
from stacker.io.donors.local_files import fetch_donors
from stacker.io.donors.openers import make_address, open_checked
from stacker.io.ranges.connections import REQUESTS_AT_ONCE
from stacker.progress import Watch


class DonorAccess(StrEnum):
    """How weights that are not on this machine are read."""

    FETCH = "fetch"
    STREAM = "stream"


Obtain = Callable[[Mapping[str, Donor], Mapping[str, Collection[str]], Watch], dict[str, Donor]]
"""A function of donors by name, of the files that are needed of each, and of a watch of the bytes fetched.

It returns the donors with files that can be read.
"""


def stream_donors(known: Mapping[str, Donor], needed: Mapping[str, Collection[str]], watch: Watch) -> dict[str, Donor]:
    """Find out the versions of the needed files that are only on servers, so that ranges of them can be read.

    Returns the donors with the addresses of these files. DonorError when a file cannot be read, or has another size or
    header than the donor.
    """
    del watch
    stop = threading.Event()

    def address(donor: Donor, file: DonorFile) -> DonorFile:
        if file.path or file.name not in needed[donor.name]:
            return file
        placed = replace(file, address=make_address(donor.source, donor.revision, file.name))
        return replace(placed, stamp=open_checked(placed, stop).stamp)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        answers = {name: [pool.submit(address, donor, file) for file in donor.files] for name, donor in known.items()}
        try:
            return {
                name: replace(donor, files=tuple(answer.result() for answer in answers[name]))
                for name, donor in known.items()
            }
        except BaseException:  # also an interrupt, after which nobody waits for the others
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


OBTAIN: dict[DonorAccess, Obtain] = {DonorAccess.FETCH: fetch_donors, DonorAccess.STREAM: stream_donors}
