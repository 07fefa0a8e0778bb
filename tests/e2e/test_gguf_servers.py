"""GGUF donors on the hub: stacks of them are streamed, and shared tensors are compared before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from stacker.compose import build, load
from stacker.errors import StackerError
from stacker.io.donors.streaming import DonorAccess
from stacker.io.hub import requests as hub_requests
from stacker.run.building import BuildOptions
from tests.gguf_donors import read_metadata, read_tensors, write_gguf
from tests.hub_server import HubServer, running_hub

STREAM = BuildOptions(access=DonorAccess.STREAM)
ITEMS = "stack: ['a[0:3]', 'b[1:4]']\ntokenizer: b\n"


def add_frequencies(path: Path, *, seed: int) -> None:
    """Write the file again with a tensor of rotary frequencies, which llama.cpp uses in all layers."""
    reader, writer = GGUFReader(path), GGUFWriter(path.with_suffix(".new"), "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            writer.add_key_value(key, field.contents(), field.types[0], field.types[-1])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.add_tensor("rope_freqs.weight", np.random.default_rng(seed).random(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_suffix(".new").replace(path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors of different seeds, each in a folder of its own."""
    for seed, name in enumerate("ab"):
        write_gguf(tmp_path / name / f"{name}.gguf", seed=seed, name=name)
    return tmp_path


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub without donors."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", ())
    with running_hub(home / "home", monkeypatch) as server:
        yield server


def write_spec(home: Path, name: str, donors: str) -> Path:
    path = home / f"{name}.yml"
    path.write_text(f"stacker: 1\nname: both\ndonors: {{{donors}}}\n{ITEMS}")
    return path


LOCAL, REMOTE = "a: a/a.gguf, b: b/b.gguf", "a: 'anna/one:a.gguf', b: ben/two"


def test_streamed_files_are_those_of_local_donors(home: Path, hub: HubServer) -> None:
    """Tensors and metadata are the same, also the tokens, and no file of weights is stored."""
    for name, repo in (("a", "anna/one"), ("b", "ben/two")):
        hub.add(repo, home / name)
    build(load(write_spec(home, "local", LOCAL)), home / "local.gguf")
    build(load(write_spec(home, "remote", REMOTE)), home / "remote.gguf", STREAM)
    assert read_tensors(home / "remote.gguf") == read_tensors(home / "local.gguf")
    found, local = read_metadata(home / "remote.gguf"), read_metadata(home / "local.gguf")
    assert found["tokenizer.ggml.tokens"] == local["tokenizer.ggml.tokens"]
    assert hub.downloaded() == set()


def test_other_frequencies_are_found_before_anything_is_fetched(home: Path, hub: HubServer) -> None:
    """Donors whose rotary frequencies differ are refused although only their headers are here."""
    for seed, (name, repo) in enumerate((("a", "anna/one"), ("b", "ben/two"))):
        add_frequencies(home / name / f"{name}.gguf", seed=seed)
        hub.add(repo, home / name)
    with pytest.raises(StackerError, match=r"rope_freqs\.weight"):
        load(write_spec(home, "remote", REMOTE)).plan()
    assert hub.downloaded() == set()


def test_the_same_frequencies_are_one(home: Path, hub: HubServer) -> None:
    """Donors with equal frequencies make a stack that has them once."""
    for name, repo in (("a", "anna/one"), ("b", "ben/two")):
        add_frequencies(home / name / f"{name}.gguf", seed=7)
        hub.add(repo, home / name)
    build(load(write_spec(home, "remote", REMOTE)), home / "remote.gguf", STREAM)
    kept, donor = (read_tensors(path)["rope_freqs.weight"] for path in (home / "remote.gguf", home / "a" / "a.gguf"))
    assert kept == donor
