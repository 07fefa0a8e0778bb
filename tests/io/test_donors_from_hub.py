"""Donors on the hub are read without weights, and their shards downloaded on demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import DonorError
from stacker.io.donors.local_files import fetch_donor
from stacker.io.donors.reader import read_donor
from stacker.io.donors.side_files import read_side_file
from stacker.io.hub import requests as hub_requests
from stacker.spec.language.stack_spec import DonorSpec
from tests.donors import write_llama
from tests.hub_server import running_hub

REPO = "anna/little-llama"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def test_weights_come_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a donor downloads no weights; fetching downloads only the wanted shards, and side files when read."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", (0.0, 0.0))
    folder = write_llama(tmp_path / "anna", hidden=128, ffn=256, vocab=256, shards=2)
    with running_hub(tmp_path / "home", monkeypatch) as hub:
        hub.add(REPO, folder)
        donor = read_donor(DonorSpec("a", REPO), tmp_path)
        assert donor.tensors == read_donor(DonorSpec("a", str(folder)), tmp_path).tensors
        assert not hub.downloaded() & {FIRST, SECOND}
        fetched = fetch_donor(donor, {SECOND})
        (side,) = (file for file in donor.side_files if file.name == "generation_config.json")
        assert not side.path
        assert read_side_file(side) == (folder / "generation_config.json").read_bytes()
    assert (fetched.files[0].path, hub.downloaded() & {FIRST, SECOND}) == (None, {SECOND})
    assert Path(str(fetched.files[1].path)).read_bytes() == (folder / SECOND).read_bytes()


def test_a_gated_repository_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gated repository is reported once, although config and weights both fail."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", (0.0, 0.0))
    with running_hub(tmp_path / "home", monkeypatch) as hub:
        hub.add(REPO, write_llama(tmp_path / "anna"))
        hub.repos[REPO].gated = True
        with pytest.raises(DonorError) as caught:
            read_donor(DonorSpec("a", REPO), tmp_path)
    assert [each.message for each in caught.value.problems] == ["this repository is gated, and you are not logged in"]
