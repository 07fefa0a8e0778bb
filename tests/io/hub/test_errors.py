"""Translation of exceptions of the hub's client that no test server can cause."""

from __future__ import annotations

import errno
import json
import os

import pytest

from stacker.errors import DonorError, SpecError, StackerError, StorageError
from stacker.io.hub.errors import HubAddress, explain_hub_error, translate_hub_errors

PLACE = HubAddress("anna/llama", "main", "config.json")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "hf cache"),
        (errno.EDQUOT, "hf cache"),
        (errno.EACCES, "HF_HUB_CACHE"),
        (errno.EROFS, "HF_HUB_CACHE"),
    ],
    ids=["full", "quota", "permission", "read-only"],
)
def test_a_cache_that_cannot_be_written_is_a_storage_error(code: int, hint: str) -> None:
    """Disk errors give the reason, and say how to move the cache."""
    told = explain_hub_error(OSError(code, os.strerror(code)), PLACE)
    assert isinstance(told, StorageError)
    assert os.strerror(code) in str(told)
    assert hint in str(told)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("Consistency check failed: file should be of size 9 but has size 3"), "the download was cut off"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "not that of a model hub"),
        (RuntimeError("Data processing error: \x1b[31mCAS\nsecond line"), r"RuntimeError: Data .*: \\x1b\[31mCAS$"),
        (KeyError("id"), "the hub's client failed: KeyError: 'id'"),
    ],
    ids=["cut-off", "a-web-page", "the-transfer-library", "anything-else"],
)
def test_other_failures_of_the_client_are_donor_errors(error: Exception, said: str) -> None:
    """No exception of the client's gets through as a traceback, nor its text as control characters."""
    with pytest.raises(DonorError, match=said), translate_hub_errors(PLACE):
        raise error


def test_what_lies_behind_a_miss_is_said() -> None:
    """'Not in the cache' after a failed request is explained by the request."""
    from huggingface_hub.errors import FileMetadataError, LocalEntryNotFoundError

    missed = LocalEntryNotFoundError("Cannot find the requested files")
    missed.__cause__ = FileMetadataError("no header")
    assert "not that of a model hub: no header" in str(explain_hub_error(missed, PLACE))


def test_our_own_errors_pass_unchanged() -> None:
    """A StackerError is not wrapped again."""
    ours = SpecError.of("as it is")
    with pytest.raises(StackerError) as raised, translate_hub_errors(PLACE):
        raise ours
    assert raised.value is ours


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (HubAddress("a/b"), "a/b"),
        (HubAddress("a/b", "v1"), "a/b@v1"),
        (HubAddress("a/b", "v1", "config.json"), "a/b@v1/config.json"),
        (HubAddress("a/b", "0123456789abcdef" * 2 + "01234567"), "a/b@0123456789ab"),
    ],
    ids=["repository", "revision", "file", "commit"],
)
def test_a_place_reads_like_the_spec(place: HubAddress, text: str) -> None:
    """Errors name a donor as the spec writes it."""
    assert str(place) == text
