"""Lists the kinds of servers whose files are read by ranges, by the scheme of their addresses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from stacker.core.values.donor import Donor, DonorFile
from stacker.io.files.regular_files import make_changed_error
from stacker.io.hub.ranges import open_hub_file
from stacker.io.ranges.fetching import fetch_range
from stacker.io.ranges.node_cache import find_node_cache
from stacker.io.ranges.remote_file import RemoteFile
from stacker.io.storage.files import open_stored_file
from stacker.spec.language.value_grammar import ADDRESSES, is_address

OPENERS: dict[str, Callable[[str], RemoteFile]] = {"hf": open_hub_file} | dict.fromkeys(ADDRESSES, open_stored_file)
"""Functions of an address, which return the file there and request nothing yet; by the scheme of the address."""


def make_address(donor: Donor, file: DonorFile) -> str:
    """The address of a donor's file, such as `s3://bucket/folder/model.safetensors`.

    On the hub, it is made of repository and commit: `hf://owner/name@commit/model.safetensors`.
    """
    if is_address(donor.source):
        return f"{donor.source}/{file.name}"
    return f"hf://{donor.source.partition(':')[0]}@{donor.revision}/{file.name}"


def open_remote(address: str) -> RemoteFile:
    """Open the file at an address whose scheme is one of OPENERS."""
    return OPENERS[address.partition("://")[0]](address)


def open_checked(file: DonorFile, stop: threading.Event) -> RemoteFile:
    """Open a donor's file on a server; DonorError unless it has the version, size and header that the plan recorded.

    A version is compared only if `file.stamp` states one.
    """
    remote = open_remote(str(file.address))
    header = b"".join(fetch_range(remote, 0, file.header_bytes, stop))
    stamp = remote.stamp
    if stamp.size != file.size:
        raise make_changed_error(file.place, f"it has {stamp.size:,} bytes, not {file.size:,}")
    if file.stamp not in (None, stamp):
        raise make_changed_error(file.place, "the server names another version of it")
    if hashlib.sha256(header).hexdigest() != file.header:
        raise make_changed_error(file.place, "its header is another")
    return remote


def open_near(file: DonorFile, stop: threading.Event) -> RemoteFile:
    """Open a donor's file as `open_checked` does, or its copy in this machine's cache, if there is such a cache."""
    remote, cache = open_checked(file, stop), find_node_cache()
    return cache.keep(remote, stop) if cache else remote
