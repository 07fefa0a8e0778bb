"""Builds that read their donors by ranges from a hub write the same bytes as ordinary builds, whatever breaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stacker.checkpoint import verify
from stacker.compose import build, load
from stacker.errors import DonorError, StackerError
from stacker.io.donors.streaming import DonorAccess
from stacker.io.hub import requests as hub_requests
from stacker.io.ranges import connections, fetching, read_ahead
from stacker.run.building import BuildOptions, Listener
from tests.adapters import write_lora
from tests.donors import write_llama
from tests.hub_server import Fault, HubServer, running_hub
from tests.hub_uploads import WEIGHTS

FIRST, SECOND, LORA = "anna/first", "ben/second", "cleo/lora"
COPIES = f"""\
stacker: 1
name: two
donors: {{a: {FIRST}, b: {SECOND}}}
stack: ["a[0:3]", "b[1:4]", "a[2:6]"]
"""
BLENDS = f"""\
stacker: 1
name: blend
donors: {{a: {FIRST}, b: {SECOND}}}
base: a
stack:
  - a[0:2]
  - {{blend: ["a[2:5]", "b[2:5]"], op: slerp, t: 0.3}}
  - {{blend: ["b[1:3]", "b[2:4]"], op: ties, weight: 0.5, density: 0.6}}
  - {{slice: "b[4:6]", scale: {{attn.o: 0.5}}}}
"""
ADAPTED = f"""\
stacker: 1
name: adapted
donors: {{a: {{source: {FIRST}, adapters: [{{source: {LORA}, weight: 0.5}}]}}, b: {SECOND}}}
stack: ["a[0:3]", {{blend: ["a[3:5]", "b[3:5]"], op: slerp, t: 0.3}}, "b[5:6]"]
"""
LORA_SHAPES = {f"model.layers.{layer}.self_attn.q_proj": (64, 64) for layer in (1, 3)}
EVERY_TEXT = pytest.mark.parametrize("text", [COPIES, BLENDS, ADAPTED], ids=["copies", "blends", "adapters"])
STREAM = BuildOptions(access=DonorAccess.STREAM)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with two donors, one of them in shards, and a LoRA; requests are small, and waits between them short."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(fetching, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(read_ahead, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(connections, "CHUNK_BYTES", 1 << 15)
    monkeypatch.setattr(connections, "_PART_BYTES", 1 << 16)
    with running_hub(tmp_path / "home", monkeypatch) as hub:
        for repo, seed, shards in ((FIRST, 1, 3), (SECOND, 2, 1)):
            folder = write_llama(tmp_path / "donors" / repo, hidden=64, ffn=160, vocab=96, seed=seed, shards=shards)
            hub.add(repo, folder)
        write_lora(tmp_path / "donors" / LORA, LORA_SHAPES, base_model_name_or_path=FIRST)
        hub.add(LORA, tmp_path / "donors" / LORA)
        yield hub


def build_streamed(tmp_path: Path, text: str, name: str = "out") -> Path:
    """Build a spec whose donors are on the hub by ranges."""
    spec = tmp_path / f"{name}.yml"
    spec.write_text(text)
    build(load(spec), tmp_path / name, STREAM)
    return tmp_path / name


def build_locally(tmp_path: Path, text: str) -> Path:
    """Build the same spec from the folders of the donors."""
    for repo in (FIRST, SECOND, LORA):
        text = text.replace(repo, str(tmp_path / "donors" / repo))
    spec = tmp_path / "local.yml"
    spec.write_text(text)
    build(load(spec), tmp_path / "local")
    return tmp_path / "local"


def read_weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


@EVERY_TEXT
def test_the_bytes_are_those_of_an_ordinary_build(hub: HubServer, tmp_path: Path, text: str) -> None:
    """A streamed build stores no weights in the cache, asks for no whole file, and writes the same shards."""
    out = build_streamed(tmp_path, text)
    assert read_weights(out) == read_weights(build_locally(tmp_path, text))
    assert not hub.downloaded()
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert not verify(out, {"a": str(tmp_path / "donors" / FIRST), "b": str(tmp_path / "donors" / SECOND)}).problems


def test_an_adapter_is_fetched_from_the_hub(hub: HubServer, tmp_path: Path) -> None:
    """Looking asks only for its header; an ordinary build fetches its file, and later reads it from the cache."""
    spec = tmp_path / "s.yml"
    spec.write_text(ADAPTED)
    plan = load(spec).plan()
    assert hub.downloaded() == set()
    build(load(spec), tmp_path / "out")
    assert hub.downloaded(LORA) == {"adapter_model.safetensors"}
    assert read_weights(tmp_path / "out") == read_weights(build_locally(tmp_path, ADAPTED))
    hub.stop()
    assert not verify(tmp_path / "out").problems
    assert load(spec).plan().id == plan.id
    assert {donor.name: donor.revision for donor in plan.donors}["a+lora"] == hub.repos[LORA].refs["main"]


def test_a_private_adapter_is_an_error_of_the_donor(hub: HubServer, tmp_path: Path) -> None:
    """An adapter that cannot be read is named, before anything is built."""
    hub.repos[LORA].private = True
    (tmp_path / "s.yml").write_text(ADAPTED)
    with pytest.raises(DonorError, match=f"(?s){LORA}.*no such repository, or it is private"):
        load(tmp_path / "s.yml")


def test_an_output_is_verified_by_ranges(hub: HubServer, tmp_path: Path) -> None:
    """`verify` can read the donors by ranges too, and finds a damaged byte."""
    out = build_streamed(tmp_path, BLENDS)
    assert not verify(out, access=DonorAccess.STREAM).problems
    assert not hub.downloaded()
    with (out / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    assert verify(out, access=DonorAccess.STREAM).problems


FAULTS = {
    "cut": Fault("/stored/", drop=700, times=9),
    "cut at once": Fault("/stored/", drop=0, times=3),
    "busy": Fault("/stored/", status=503, times=3),
    "failing": Fault("/stored/", status=500, times=3),
    "too many requests": Fault("/stored/", status=429, headers={"Retry-After": "0"}, times=3),
    "the whole file": Fault("/stored/", whole=True, times=2),
    "another range": Fault("/stored/", shift=8, times=2),
    "announced too short": Fault("/stored/", about={"Content-Length": "100"}, times=2),
    "announced too long": Fault("/stored/", about={"Content-Length": "1000000"}, times=2),
    "packed": Fault("/stored/", about={"Content-Encoding": "br"}, times=2),
    "no Content-Range": Fault("/stored/", about={"Content-Range": "junk"}, times=2),
    "hub busy": Fault("/resolve/", status=502, times=2),
    "stalled": Fault("/stored/", drop=500, stall=1.0, times=2),
}


LATER = {
    "link expired": Fault("/stored/", status=403, times=2),
    "link gone": Fault("/stored/", status=404, times=2),
    "moved": Fault("/stored/", status=302, headers={"Location": "/nowhere"}, times=2),
}
"""Faults of a storage server that served a file before."""


@pytest.mark.parametrize("fault", (FAULTS | LATER).values(), ids=FAULTS | LATER)
@pytest.mark.parametrize("text", [COPIES, BLENDS], ids=["copies", "blends"])
def test_what_breaks_for_a_moment_changes_no_byte(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fault: Fault
) -> None:
    """Requests that fail are repeated, from where the bytes stopped, and the output is the same."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    build_streamed(tmp_path, text, "first")
    _break_after(hub, replace(fault), 18 if fault in LATER.values() else 0)
    out = build_streamed(tmp_path, text)
    assert hub.faults[1].times == 0
    assert read_weights(out) == read_weights(tmp_path / "first")


LASTING = {
    "always cut": (Fault("/stored/", drop=0, times=10**6), "cut off|cannot reach|ends? early"),
    "always busy": (Fault("/stored/", status=503, times=10**6), "the hub is failing"),
    "never ranges": (Fault("/stored/", whole=True, times=10**6), "does not send the ranges"),
    "always stalled": (Fault("/stored/", drop=0, stall=1.0, times=10**6), "cannot reach the hub"),
    "drips": (Fault("/stored/", pause=0.05, status=206, times=10**6), "does not send the ranges"),
    "another file": (Fault("/stored/", about={"ETag": '"other"'}, times=10**6), "changed on the server"),
}


@pytest.mark.parametrize(("fault", "message"), LASTING.values(), ids=LASTING)
def test_what_stays_broken_ends_the_build(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, message: str
) -> None:
    """A server that does not recover ends the build soon, with an error that says what it did, and no output."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    spec = tmp_path / "spec.yml"
    spec.write_text(COPIES)
    stack = load(spec)
    _break_after(hub, replace(fault), 12 if fault.about else 0)
    with pytest.raises(StackerError, match=message):
        build(stack, tmp_path / "out", STREAM)
    assert not (tmp_path / "out").exists()


def _break_after(hub: HubServer, fault: Fault, requests: int) -> None:
    """Let a fault begin after so many requests for weights."""
    hub.faults = [Fault("/stored/", times=requests), fault]


def test_the_token_stays_with_the_hub(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gets the user's token, and the storage server that it redirects to never does."""
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    for repo in hub.repos.values():
        repo.gated = True
    build_streamed(tmp_path, COPIES)
    weights = [asked for asked in hub.asked if asked.path.endswith(WEIGHTS)]
    assert {asked.token for asked in weights if asked.server == "storage"} == {None}
    assert {asked.token for asked in weights if asked.server == "hub"} == {"hf_right"}


def test_a_redirect_elsewhere_gets_no_token(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage server that redirects to yet another host gets no token there either."""
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    elsewhere = {"Location": hub.storage.replace("127.0.0.1", "localhost") + "/elsewhere"}
    build_streamed(tmp_path, COPIES, "first")
    hub.faults = [Fault("/stored/", status=302, headers=elsewhere, times=10**6)]
    with pytest.raises(DonorError, match="HTTP 404"):
        build_streamed(tmp_path, COPIES)
    assert [asked for asked in hub.asked if asked.path == "/elsewhere"]
    assert not [asked for asked in hub.asked if asked.path == "/elsewhere" and asked.token]


def test_an_interrupted_build_goes_on(hub: HubServer, tmp_path: Path) -> None:
    """What an interrupted run has written is checked by digest, and only the rest is requested."""
    reference = build_streamed(tmp_path, COPIES, "whole")
    needed = hub.weights_sent()
    spec = tmp_path / "spec.yml"
    spec.write_text(COPIES)
    _break_after(hub, Fault("/stored/", status=503, times=10**6), 25)
    with pytest.raises(StackerError):
        build(load(spec), tmp_path / "out", STREAM)
    assert (tmp_path / "out.partial").exists()
    hub.faults, hub.asked = [], []
    build(load(spec), tmp_path / "out", STREAM)
    assert hub.weights_sent() < 0.8 * needed
    assert read_weights(tmp_path / "out") == read_weights(reference)


def test_an_interrupt_ends_at_once(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt does not wait for the pauses before requests are repeated, and what was written is kept."""
    monkeypatch.setattr(fetching, "PAUSES", (60.0,))
    (tmp_path / "spec.yml").write_text(BLENDS)
    stack = load(tmp_path / "spec.yml")
    _break_after(hub, Fault("/stored/", status=503, times=10**6), 25)
    began = time.monotonic()

    def watch(done: int, total: int) -> None:
        del done, total
        if time.monotonic() > began + 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(stack, tmp_path / "out", STREAM, Listener(watch))
    assert time.monotonic() < began + 10


def test_neighbours_are_joined(hub: HubServer, tmp_path: Path) -> None:
    """Many small tensors take far fewer requests than there are tensors."""
    out = build_streamed(tmp_path, BLENDS)
    asked = [each for each in hub.asked if each.server == "storage" and each.path.endswith(WEIGHTS)]
    assert len(asked) < 80
    assert out.exists()


def test_a_cache_spares_the_server(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache of this machine, a second streamed build asks the server for headers only, and writes the same."""
    monkeypatch.setenv("STACKER_CACHE_DIR", str(tmp_path / "near"))
    local = read_weights(build_locally(tmp_path, BLENDS))
    assert read_weights(build_streamed(tmp_path, BLENDS)) == local
    sent = hub.weights_sent()
    assert read_weights(build_streamed(tmp_path, BLENDS, "again")) == local
    assert hub.weights_sent() - sent < sent / 4
