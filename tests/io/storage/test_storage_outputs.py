"""Outputs in object storage: the files of a plain build, whatever breaks, and complete or without a config."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from stacker.cli import main
from stacker.compose import Stack, load
from stacker.core.plan.plan_json import LOCK
from stacker.errors import SpecError, StorageError
from stacker.run.building import BuildOptions
from stacker.upload import build_to_storage
from tests.donors import write_llama
from tests.storage_server import BUCKET, KEY, SECRET, Request, StorageServer

SPEC = """\
stacker: 1
name: stored
donors: {a: ./first, b: ./second}
stack:
  - a[0:3]
  - {blend: ["a[2:5]", "b[2:5]"], op: slerp, t: 0.3}
  - b[1:4]
output: {shard_size: 200kB}
"""
_PLACES = itertools.count()


@pytest.fixture
def stack(home: Path) -> Stack:
    """The stack of the spec."""
    (home / "spec.yml").write_text(SPEC)
    return load(home / "spec.yml")


@pytest.fixture
def place() -> str:
    """An address where nothing is."""
    return f"s3://{BUCKET}/out/{next(_PLACES)}"


def files_at(server: StorageServer, place: str) -> dict[str, bytes]:
    """The objects at an address, by name, without the lock file, which says where the donors are."""
    prefix = place.removeprefix(f"s3://{BUCKET}/") + "/"
    client = server.client()
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    names = [each["Key"] for each in listed if not each["Key"].endswith(LOCK)]
    return {name.removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


def files_of(stack: Stack, home: Path) -> dict[str, bytes]:
    """The files of a local build, without the lock file."""
    stack.build(home / "local", BuildOptions(force=True))
    return {path.name: path.read_bytes() for path in sorted((home / "local").iterdir()) if path.name != LOCK}


def stored_name(request: Request) -> str | None:
    """The name of the object that a request stores, wholly or by completing an upload in parts."""
    path, _, query = request.path.partition("?")
    whole = request.method == "PUT" and "partNumber" not in query
    done = request.method == "POST" and "uploadId" in query
    return path.rpartition("/")[2] if whole or done else None


def refuse(name: str, server: StorageServer) -> None:
    """Let the server refuse to store the object `name`."""
    server.fault = lambda request: 403 if name in request.path and request.method in ("PUT", "POST") else None


def test_an_output_has_the_files_of_a_build(home: Path, stack: Stack, place: str, server: StorageServer) -> None:
    """Shards, config and documents are those of a local build; the index and the config go last; no credentials."""
    assert main(["build", str(home / "spec.yml"), place, "--quiet"]) == 0
    names = [name for request in server.requests if (name := stored_name(request)) and "?delete" not in request.path]
    assert names[-2:] == ["model.safetensors.index.json", "config.json"]
    found = files_at(server, place)
    assert found == files_of(stack, home)
    assert len([name for name in found if name.endswith(".safetensors")]) > 3
    lock = server.client().get_object(Bucket=BUCKET, Key=f"{place.removeprefix(f's3://{BUCKET}/')}/{LOCK}")
    assert not {KEY, SECRET} & set(lock["Body"].read().decode().split('"'))


def test_a_large_shard_goes_up_in_parts(home: Path, place: str, server: StorageServer) -> None:
    """A shard of 40 MB is one object, uploaded in several parts."""
    write_llama(home / "wide", hidden=1024, ffn=2048, heads=8, kv_heads=8, vocab=512, layers=2)
    (home / "spec.yml").write_text('stacker: 1\nname: wide\ndonors: {a: ./wide}\nstack: ["a[0:2]"]\n')
    stack = load(home / "spec.yml")
    build_to_storage(stack, place)
    assert len([request for request in server.requests if "partNumber" in request.path]) > 2
    assert files_at(server, place) == files_of(stack, home)


@pytest.mark.parametrize("fault", [500, 503])
def test_what_breaks_is_repeated(home: Path, stack: Stack, place: str, server: StorageServer, fault: int) -> None:
    """Every request fails the first time, and the output is the same."""
    seen: set[tuple[str, str, str | None]] = set()

    def disturb(request: Request) -> int | None:
        key = (request.method, request.path, request.range)
        first = key not in seen
        seen.add(key)
        return fault if first else None

    server.fault = disturb
    build_to_storage(stack, place)
    server.fault = lambda _: None
    assert files_at(server, place) == files_of(stack, home)


def test_an_interrupted_build_keeps_what_is_there(home: Path, stack: Stack, place: str, server: StorageServer) -> None:
    """After a failure there is no config; the next build uploads only the missing shards, and one that was changed."""
    shards = [shard.name for shard in stack.plan().shards]
    refuse(shards[3], server)
    with pytest.raises(StorageError, match="refuses access") as caught:
        build_to_storage(stack, place)
    assert KEY not in repr(caught.value.problems)
    found = files_at(server, place)
    assert {*shards[:3]} <= found.keys()
    assert "config.json" not in found
    prefix = place.removeprefix(f"s3://{BUCKET}/")
    server.fault = lambda _: None
    server.client().put_object(Bucket=BUCKET, Key=f"{prefix}/{shards[1]}", Body=bytes(len(found[shards[1]])))
    server.requests.clear()
    report = build_to_storage(stack, place).report
    again = {name for request in server.requests if (name := stored_name(request)) and name.endswith(".safetensors")}
    assert again == {shards[1], *shards[3:]}
    assert report.kept
    assert files_at(server, place) == files_of(stack, home)


def test_shards_of_donors_that_changed_are_written_again(
    home: Path, stack: Stack, place: str, server: StorageServer
) -> None:
    """If a donor's file was replaced after the interruption, what was made from it is uploaded again."""
    refuse("README.md", server)
    with pytest.raises(StorageError):
        build_to_storage(stack, place)
    server.fault = lambda _: None
    write_llama(home / "second", hidden=64, ffn=160, vocab=96, seed=8)
    changed = load(home / "spec.yml")
    assert changed.plan().id == stack.plan().id
    build_to_storage(changed, place)
    assert files_at(server, place) == files_of(changed, home)


def test_nothing_is_overwritten(stack: Stack, place: str, server: StorageServer) -> None:
    """A checkpoint, or shards of something else, at the address are refused, and so is --force."""
    build_to_storage(stack, place)
    before = files_at(server, place)
    with pytest.raises(SpecError, match="there is a checkpoint"):
        build_to_storage(stack, place)
    with pytest.raises(SpecError, match="--force"):
        build_to_storage(stack, place, BuildOptions(force=True))
    assert files_at(server, place) == before
    server.client().delete_object(Bucket=BUCKET, Key=place.removeprefix(f"s3://{BUCKET}/") + "/config.json")
    with pytest.raises(SpecError, match="no build of this plan"):
        build_to_storage(stack, place)


def test_an_address_with_credentials_is_refused(stack: Stack) -> None:
    """Credentials in the address of an output are refused."""
    with pytest.raises(SpecError, match="credentials"):
        build_to_storage(stack, f"s3://{KEY}:{SECRET}@{BUCKET}/x")


def test_no_scratch_is_left(
    home: Path, stack: Stack, place: str, server: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder for temporary files is empty after a build and after a failure."""
    (home / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(home / "scratch"))
    refuse("00002-of", server)
    with pytest.raises(StorageError):
        build_to_storage(stack, place)
    assert not list((home / "scratch").iterdir())
    server.fault = lambda _: None
    build_to_storage(stack, place)
    assert not list((home / "scratch").iterdir())
