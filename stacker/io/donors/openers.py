"""Lists the kinds of servers whose files are read by ranges, by the scheme of their addresses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

from stacker.core.values.donor import Donor, DonorFile
from stacker.formats.gguf_names import SUFFIX
from stacker.io.files.regular_files import make_changed_error
from stacker.io.hub.ranges import open_hub_file
from stacker.io.ranges.fetching import fetch_range
from stacker.io.ranges.node_cache import find_node_cache
from stacker.io.ranges.remote_file import RemoteFile
from stacker.io.storage.files import open_stored_file
from stacker.io.storage.stores import split_address
from stacker.spec.language.value_grammar import ADDRESSES, is_address

OPENERS: dict[str, Callable[[str], RemoteFile]] = {"hf": open_hub_file} | dict.fromkeys(ADDRESSES, open_stored_file)
"""Functions of an address, which return the file there and request nothing yet; by the scheme of the address."""


def make_address(source: str, revision: str | None, name: str) -> str:
    """The address of the file `name` of a donor, such as `s3://bucket/folder/model.safetensors`.

    On the hub, it is made of repository and commit: `hf://owner/name@commit/model.safetensors`.
    """
    if is_address(source):
        folder = split_address(source)[0] if source.endswith(SUFFIX) else source
        return f"{folder}/{name}"
    return f"hf://{source.partition(':')[0]}@{revision}/{name}"


def open_remote(address: str) -> RemoteFile:
    """Open the file at an address whose scheme is one of OPENERS."""
    return OPENERS[address.partition("://")[0]](address)


def read_remote_range(source: str, revision: str | None, name: str, begin: int, nbytes: int) -> bytes:
    """Read bytes [begin, begin + nbytes) of a donor's file from its server; StackerError when that fails."""
    remote = open_remote(make_address(source, revision, name))
    return b"".join(fetch_range(remote, begin, begin + nbytes, threading.Event()))


def open_checked(file: DonorFile, stop: threading.Event) -> RemoteFile:
    """Open a donor's file on a server; DonorError unless it has the version, size and header that the plan recorded.

    A version is compared only if `file.stamp` states one.
    """
    return _open_with_header(file, stop)[0]


def read_remote_header(donor: Donor, file: DonorFile) -> bytes:
    """Read the header of a donor's file from its server; DonorError unless it is the one that the plan recorded."""
    placed = replace(file, address=file.address or make_address(donor.source, donor.revision, file.name))
    return _open_with_header(placed, threading.Event())[1]


def _open_with_header(file: DonorFile, stop: threading.Event) -> tuple[RemoteFile, bytes]:
    remote = open_remote(str(file.address))
    header = b"".join(fetch_range(remote, 0, file.header_bytes, stop))
    stamp = remote.stamp
    if stamp.size != file.size:
        raise make_changed_error(file.place, f"it has {stamp.size:,} bytes, not {file.size:,}")
    if file.stamp not in (None, stamp):
        raise make_changed_error(file.place, "the server names another version of it")
    if hashlib.sha256(header).hexdigest() != file.header:
        raise make_changed_error(file.place, "its header is another")
    return remote, header


def open_near(file: DonorFile, stop: threading.Event) -> RemoteFile:
    """Open a donor's file as `open_checked` does, or its copy in this machine's cache, if there is such a cache."""
    remote, cache = open_checked(file, stop), find_node_cache()
    return cache.keep(remote, stop) if cache else remote
