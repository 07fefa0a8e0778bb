"""From hub ids to a checkpoint: previews download headers, build the shards of the plan, a second build nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from stacker.compose import build, load, plan_for
from stacker.errors import DonorError
from stacker.io.hub import headers as hub_headers
from stacker.io.hub import requests as hub_requests
from stacker.run.building import Listener
from tests.donors import write_llama
from tests.hub_server import Fault, HubServer, environment, running_hub

SPEC = """\
stacker: 1
name: little-tower
donors:
  anna: anna/llama@v1
  ben: ben/llama
stack:
  - anna[0:2]
  - ben[1:2]
  - anna[5:6]
"""
SHARDS = 7
"""Of each donor; the layers are spread over them, about one in each."""
LAYERS = ((0, "anna", 0), (1, "anna", 1), (2, "ben", 1), (3, "anna", 5))


@pytest.fixture
def donors(tmp_path: Path) -> dict[str, Path]:
    """Two donors whose shards are longer than the range that is asked for first."""
    folders = {}
    for seed, name in enumerate(("anna", "ben")):
        folders[name] = write_llama(
            tmp_path / name, hidden=128, ffn=256, vocab=256, dtype="F32", seed=seed, shards=SHARDS
        )
        (folders[name] / "tokenizer.json").write_text(json.dumps({"of": name}))
    return folders


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, donors: dict[str, Path]) -> Iterator[HubServer]:
    """A hub with both donors; one has a tag and has gone on since."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", ())
    with running_hub(tmp_path / "home", monkeypatch) as server:
        commit = server.add("anna/llama", donors["anna"])
        server.repos["anna/llama"].refs["v1"] = commit
        server.add("anna/llama", write_llama(tmp_path / "newer", layers=1))
        server.add("ben/llama", donors["ben"])
        yield server


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "tower.yml"
    path.write_text(SPEC)
    return path


def stacker(hub: HubServer, tmp_path: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, asking `hub`."""
    command = [sys.executable, "-m", "stacker", *map(str, args)]
    env = os.environ | environment(hub, tmp_path / "home")
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def holding(donor: Path, *tensors: str) -> set[str]:
    """The shards of a donor that its index names for tensors whose names begin so."""
    places = json.loads((donor / "model.safetensors.index.json").read_text())["weight_map"]
    return {file for name, file in places.items() if name.startswith(tensors)}


def assert_is_the_tower(out: Path, donors: dict[str, Path]) -> None:
    """Every tensor of the output has the values of the donor's tensor that the spec names."""
    values = {
        name: {k: v for f in folder.glob("*.safetensors") for k, v in load_file(f).items()}
        for name, folder in donors.items()
    }
    made = {name: value for file in out.glob("*.safetensors") for name, value in load_file(file).items()}
    expected = {
        name.replace(f"layers.{theirs}.", f"layers.{ours}."): value
        for ours, donor, theirs in LAYERS
        for name, value in values[donor].items()
        if name.startswith(f"model.layers.{theirs}.")
    }
    expected |= {name: value for name, value in values["anna"].items() if ".layers." not in name}
    assert made.keys() == expected.keys()
    assert all(made[name].tobytes() == value.tobytes() for name, value in expected.items())


def test_the_command_line_looks_without_weights_and_builds_with_those_it_needs(
    hub: HubServer, tmp_path: Path, spec: Path, donors: dict[str, Path]
) -> None:
    """Check and plan download each header once, build downloads the shards of the plan, and verify needs no hub."""
    out = tmp_path / "out"
    for command in (("check", spec), ("plan", spec, "--json")):
        looked = stacker(hub, tmp_path, *command)
        assert looked.returncode == 0, looked.stderr
    plan = json.loads(looked.stdout)
    assert {donor["revision"] for donor in plan["donors"]} == {
        hub.repos["anna/llama"].refs["v1"],
        hub.repos["ben/llama"].refs["main"],
    }
    assert hub.downloaded() == set()
    assert hub.weights_sent() <= 2 * SHARDS * hub_headers.FIRST_REQUEST

    built = stacker(hub, tmp_path, "build", spec, out)
    assert built.returncode == 0, built.stderr
    needed = holding(
        donors["anna"], "model.layers.0.", "model.layers.1.", "model.layers.5.", "model.embed", "model.norm", "lm_head"
    )
    assert hub.downloaded("anna/llama") == needed
    assert hub.downloaded("ben/llama") == holding(donors["ben"], "model.layers.1.")
    assert_is_the_tower(out, donors)
    assert (out / "tokenizer.json").read_bytes() == (donors["anna"] / "tokenizer.json").read_bytes()

    hub.stop()
    verified = stacker(hub, tmp_path, "verify", out)
    assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize(
    ("repo", "change", "said"),
    [
        ("ben/llama", {"gated": True}, "accept its terms"),
        ("ben/llama", {"private": True}, "no such repository, or it is private"),
    ],
    ids=["gated", "private"],
)
def test_a_donor_out_of_reach_ends_with_3_and_writes_nothing(
    hub: HubServer, tmp_path: Path, spec: Path, repo: str, change: dict[str, bool], said: str
) -> None:
    """The error names the donor and says what to do; there is no traceback and no output."""
    for name, value in change.items():
        setattr(hub.repos[repo], name, value)
    built = stacker(hub, tmp_path, "build", spec, tmp_path / "out")
    assert built.returncode == 3
    assert said in built.stderr
    assert repo in built.stderr
    assert "Traceback" not in built.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_second_build_needs_no_hub(hub: HubServer, tmp_path: Path, spec: Path, donors: dict[str, Path]) -> None:
    """A second build needs nothing that the first has not downloaded."""
    first = build(load(spec), tmp_path / "one")
    hub.stop()
    second = build(load(spec), tmp_path / "two")
    assert second.plan.id == first.plan.id
    assert_is_the_tower(tmp_path / "two", donors)


def test_a_build_whose_download_fails_is_taken_up_again(
    hub: HubServer, tmp_path: Path, spec: Path, donors: dict[str, Path]
) -> None:
    """Shards that came before the hub failed are not downloaded again."""
    stack = load(spec)
    hub.faults.append(Fault("/stored/ben/llama", status=500, times=9))
    with pytest.raises(DonorError, match=r"ben/llama.*the hub is failing"):
        build(stack, tmp_path / "out")
    had = hub.downloaded("anna/llama")
    hub.faults.clear()
    hub.asked.clear()
    build(load(spec), tmp_path / "out")
    assert had
    assert not had & hub.downloaded("anna/llama")
    assert_is_the_tower(tmp_path / "out", donors)


def test_what_is_fetched_is_told(hub: HubServer, tmp_path: Path, spec: Path) -> None:
    """The reported progress ends at the sum of downloaded bytes, and is zero for cached files."""
    told: list[tuple[int, int]] = []
    plan = build(load(spec), tmp_path / "one", listener=Listener(fetching=lambda *now: told.append(now))).plan
    fetched = [name for repo in ("anna", "ben") for name in hub.downloaded(f"{repo}/llama")]
    sizes = {name: size for donor in plan.donors for name, size, _ in donor.files}
    assert told[-1][0] == told[-1][1] >= sum(sizes[name] for name in fetched)
    told.clear()
    build(load(spec), tmp_path / "two", listener=Listener(fetching=lambda *now: told.append(now)))
    assert told == []


def test_the_layout_does_not_depend_on_what_is_fetched(
    hub: HubServer, tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that clones, the plan before the weights are fetched is the plan after, so that a build can go on."""
    del hub
    cache = tmp_path / "home"

    def clones(paths: Sequence[Path], _: Path) -> int | None:
        return 4096 if paths and all(cache in path.parents for path in paths) else None

    monkeypatch.setattr("stacker.compose.find_clone_block", clones)
    before = plan_for(load(spec), tmp_path / "out")
    assert before.layout.block == 4096
    assert build(load(spec), tmp_path / "out").plan.id == before.id
    assert plan_for(load(spec), tmp_path / "out").id == before.id


def test_a_stack_of_stacks_fetches_what_the_inner_ones_need(
    hub: HubServer, tmp_path: Path, spec: Path, donors: dict[str, Path]
) -> None:
    """A donor that is a stack of hub donors is built from their shards, tokenizer included."""
    outer = tmp_path / "outer.yml"
    outer.write_text(f"stacker: 1\nname: outer\ndonors: {{inner: {{stack: {spec.name}}}}}\nstack:\n  - inner[2:3]\n")
    build(load(outer), tmp_path / "out")
    assert hub.downloaded("ben/llama") == holding(donors["ben"], "model.layers.1.")
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (donors["anna"] / "tokenizer.json").read_bytes()
