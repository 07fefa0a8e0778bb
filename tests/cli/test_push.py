"""`stacker push`: a finished output is checked and uploaded, and what is there already is not sent again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stacker.cli import main
from tests.donors import write_llama
from tests.hub_server import Fault, HubServer, running_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub's own call
REPO = "carla/stacked"
FIRST, SECOND = "anna/first", "ben/second"
SPEC = f"""\
stacker: 1
name: two
donors: {{a: {FIRST}, b: {SECOND}}}
stack: ["a[0:3]", "b[1:4]"]
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with two donors of one licence; the user is logged in, and large files are stored by LFS."""
    from huggingface_hub import hf_api

    with running_hub(tmp_path / "home", monkeypatch) as hub:
        monkeypatch.setattr(hf_api, "is_xet_available", lambda: False)
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        for repo, seed in ((FIRST, 1), (SECOND, 2)):
            folder = write_llama(tmp_path / "donors" / repo, seed=seed)
            (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# a donor\n")
            hub.add(repo, folder)
        yield hub


def build(tmp_path: Path, text: str = SPEC) -> Path:
    (tmp_path / "spec.yml").write_text(text)
    assert main(["build", str(tmp_path / "spec.yml"), str(tmp_path / "out"), "--quiet"]) == 0
    return tmp_path / "out"


def uploaded(hub: HubServer) -> dict[str, bytes]:
    """The files of the pushed repository, by name."""
    repo = hub.repos[REPO]
    folder = repo.commits[repo.refs["main"]]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_everything_is_uploaded(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files arrive unchanged in a new private repository, and the card names donors, relation and licence."""
    out = build(tmp_path)
    assert main(["push", str(out), REPO, "--private", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["url"] == f"{hub.endpoint}/{REPO}"
    assert uploaded(hub) == written(out)
    assert hub.uploads.created[REPO]["visibility"] == "private"
    card = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert card["base_model"] == [FIRST, SECOND]
    assert (card["base_model_relation"], card["license"]) == ("merge", "apache-2.0")


def test_an_interrupted_push_goes_on(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A push that failed says so; the next one sends no object again, and a third one commits nothing."""
    out = build(tmp_path)
    hub.faults = [Fault(f"{REPO}/commit", "POST", status=403)]
    assert main(["push", str(out), REPO]) == 5
    assert "cannot push" in capsys.readouterr().err
    sent = dict(hub.uploads.objects)
    hub.asked.clear()
    assert main(["push", str(out), REPO]) == 0
    assert not [asked for asked in hub.asked if asked.method == "PUT"]
    assert hub.uploads.objects == sent
    commits = len(hub.uploads.commits)
    assert main(["push", str(out), REPO]) == 0
    assert len(hub.uploads.commits) == commits
    assert uploaded(hub) == written(out)


def test_an_incomplete_output_is_refused(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with a missing or damaged shard, or without a lock file, is not uploaded."""
    out = build(tmp_path)
    shutil.copytree(out, tmp_path / "damaged")
    with (tmp_path / "damaged" / "model.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"xyz")
    (out / "model.safetensors").unlink()
    assert main(["push", str(out), REPO]) == 7
    assert main(["push", str(tmp_path / "damaged"), REPO]) == 7
    assert main(["push", str(tmp_path / "donors" / FIRST), REPO]) == 2
    assert "this shard is missing" in capsys.readouterr().err
    assert REPO not in hub.repos


def test_licences_that_differ_are_asked_for(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the donors' licences differ, the error lists them, and --license says which applies."""
    (tmp_path / "donors" / SECOND / "README.md").write_text("---\nlicense: llama2\n---\n")
    out = build(tmp_path)
    assert main(["push", str(out), REPO]) == 2
    assert "a: apache-2.0, b: llama2" in capsys.readouterr().err
    assert not hub.uploads.created
    assert main(["push", str(out), REPO, "--license", "llama2"]) == 0
    assert yaml.safe_load((out / "README.md").read_text().split("---\n")[1])["license"] == "llama2"


def test_donors_in_folders_must_be_named(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If no donor has a hub id, --base-model says what the folders are."""
    text = SPEC.replace(FIRST, f"./donors/{FIRST}").replace(SECOND, f"./donors/{SECOND}")
    out = build(tmp_path, text)
    assert main(["push", str(out), REPO]) == 2
    assert "--base-model owner/name" in capsys.readouterr().err
    assert main(["push", str(out), REPO, "--base-model", FIRST, "--base-model", SECOND]) == 0
    assert REPO in hub.repos


@pytest.mark.parametrize("possible", [True, False])
def test_files_of_donors_are_copied_by_the_hub(hub: HubServer, tmp_path: Path, possible: bool) -> None:
    """A shard that is a donor's file is copied on the hub where it can, and uploaded where it cannot."""
    hub.uploads.copies = possible
    whole = tmp_path / "donors" / FIRST / "model.safetensors"
    out = build(tmp_path, SPEC.replace('["a[0:3]", "b[1:4]"]', "[a]"))
    same = (out / "model.safetensors").read_bytes() == whole.read_bytes()
    assert same, "the test needs a stack whose only shard is the donor's file"
    assert main(["push", str(out), REPO]) == 0
    assert uploaded(hub) == written(out)
    assert bool([asked for asked in hub.asked if asked.method == "PUT"]) is not possible


def test_large_files_go_through_xet(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hf_xet, the hub gets the SHA-256 of the shards, whose bytes are in the store of chunks."""
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api, "is_xet_available", lambda: True)
    hub.uploads.xet_store = tmp_path / "store"
    hub.uploads.xet_store.mkdir()
    out = build(tmp_path)
    assert main(["push", str(out), REPO]) == 0
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert uploaded(hub)["model.safetensors"] == f"sha256 {digest}".encode()
    assert sum(path.stat().st_size for path in hub.uploads.xet_store.rglob("*")) > 10_000


def test_a_push_needs_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the hub switched off, push ends at once and says so."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", str(tmp_path), REPO]) == 2


def test_a_failed_push_leaves_the_card_alone(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither options of a wrong form nor a repository that cannot be made change README.md."""
    out = build(tmp_path, SPEC.replace(FIRST, f"./donors/{FIRST}"))
    before = written(out)
    assert main(["push", str(out), REPO, "--base-model", "nonsense", "--license", "not a licence!!"]) == 2
    assert {"nonsense", "licence!!"} <= {word.strip("'") for word in capsys.readouterr().err.split()}
    hub.faults = [Fault("repos/create", "POST", status=403)]
    assert main(["push", str(out), REPO, "--base-model", FIRST]) == 5
    assert written(out) == before
    assert not hub.uploads.created


def test_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output in GGUF is no folder, which the message says."""
    (tmp_path / "o.gguf").write_bytes(b"GGUF")
    assert main(["push", str(tmp_path / "o.gguf"), REPO]) == 2
    assert "this is a file" in capsys.readouterr().err
