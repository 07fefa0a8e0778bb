"""Where a spec's donors are looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stacker.compose import load
from stacker.errors import DonorError, Mark, SpecError
from stacker.io.donors.location import is_local, open_donor
from stacker.spec.language.stack_spec import Dialect, DonorSpec
from tests.donors import write_llama
from tests.gguf_donors import write_gguf

MARK = Mark("spec.yml", 3, 5)


def located(source: str, folder: Path, dialect: Dialect = Dialect.NATIVE) -> Path:
    """The folder that a source is found at."""
    return Path(open_donor(DonorSpec("a", source, mark=MARK), folder, dialect).source).resolve()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec's folder and the current one, both with a donor `both`; nothing comes from a hub."""
    for name in ("spec/both", "spec/here", "current/both", "spec/owner/name"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "spec"))
    return tmp_path


@pytest.mark.parametrize("source", ["here", "./here", "../spec/here", "~/here"])
def test_relative_folders_start_at_the_spec(places: Path, source: str) -> None:
    """With or without a dot; `~` is the home folder."""
    assert located(source, places / "spec") == places / "spec" / "here"


def test_absolute_folders_are_taken_as_they_are(places: Path) -> None:
    """Absolute paths do not depend on the folder of the spec."""
    assert located(str(places / "spec/here"), places / "current") == places / "spec/here"


def test_mergekit_looks_in_the_current_folder_first(places: Path) -> None:
    """mergekit specs try the current folder first, then that of the spec."""
    assert located("both", places / "spec") == places / "spec/both"
    assert located("both", places / "spec", Dialect.MERGEKIT) == places / "current/both"
    assert located("here", places / "spec", Dialect.MERGEKIT) == places / "spec/here"


def test_a_folder_wins_over_a_hub_id(places: Path) -> None:
    """`owner/name` is a folder where there is one."""
    assert located("owner/name", places / "spec") == places / "spec/owner/name"


@pytest.mark.parametrize("source", ["./heer", "a/b/c", "/absent", "~/heer"])
def test_a_path_that_is_not_there_is_no_hub_id(places: Path, source: str) -> None:
    """A source that looks like a path is not looked up on the hub; the error names the paths and the spec's line."""
    with pytest.raises(DonorError, match=r"spec\.yml:3:5: there is no donor 'a' at"):
        located(source, places / "spec")


def test_suggests_the_folder_that_was_meant(places: Path) -> None:
    """A misspelt path is answered with a similar name in the same folder."""
    with pytest.raises(DonorError, match="did you mean 'here'"):
        located("./heer", places / "spec")


def test_a_file_is_no_donor(places: Path) -> None:
    """The error for a weight file says that a donor is a folder."""
    (places / "spec" / "model.safetensors").touch()
    with pytest.raises(DonorError, match="donor 'a' is a file"):
        located("model.safetensors", places / "spec")


@pytest.mark.parametrize(("source", "kind"), [("owner/absent", DonorError), ("owner/--", SpecError)])
def test_what_the_hub_does_not_have_names_the_folder_too(places: Path, source: str, kind: type[Exception]) -> None:
    """The error names the hub and the local path."""
    with pytest.raises(kind, match="there is no folder at"):
        located(source, places / "spec")


@pytest.mark.parametrize(
    ("source", "reason"),
    [("~no-such-user/a", "Could not determine home directory"), ("./" + "a" * 300, "File name too long")],
    ids=["unknown home", "too long"],
)
def test_a_path_that_cannot_be_looked_up(places: Path, source: str, reason: str) -> None:
    """What the system refuses to look up is an error of the donor, with the system's reason."""
    with pytest.raises(DonorError, match=f"cannot look up donor 'a': {reason}"):
        located(source, places / "spec")


def test_a_folder_may_have_an_at_sign(places: Path) -> None:
    """An '@' belongs to the name where a folder of that name exists."""
    (places / "spec/owner/name@v2").mkdir()
    spec = DonorSpec("a", "owner/name", "v2", mark=MARK)
    assert Path(open_donor(spec, places / "spec", Dialect.NATIVE).source).resolve() == places / "spec/owner/name@v2"
    assert is_local(spec, places / "spec", Dialect.NATIVE)


def test_a_missing_adapter_is_called_one(tmp_path: Path) -> None:
    """Its name in plans is no donor's name, and not in the message."""
    write_llama(tmp_path / "d")
    (tmp_path / "s.yml").write_text("stacker: 1\ndonors: {d: {source: ./d, adapters: [./nothere]}}\nstack: [d]\n")
    with pytest.raises(DonorError, match="there is no adapter at ") as caught:
        load(tmp_path / "s.yml")
    assert "d+nothere" not in str(caught.value)


def test_an_adapter_for_other_names_does_not_fit_gguf(tmp_path: Path) -> None:
    """The hint says which names a GGUF file lacks, and does not doubt the model."""
    write_gguf(tmp_path / "a.gguf", seed=1)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1}))
    inside = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    factors = {f"{inside}A.weight": torch.ones(1, 64), f"{inside}B.weight": torch.ones(64, 1)}
    save_file(factors, tmp_path / "lora" / "adapter_model.safetensors")
    (tmp_path / "s.yml").write_text("stacker: 1\ndonors: {a: {source: a.gguf, adapters: [./lora]}}\nstack: [a]\n")
    with pytest.raises(DonorError) as caught:
        load(tmp_path / "s.yml")
    assert "GGUF donors need the adapter as a GGUF file" in caught.value.problems[0].hint
