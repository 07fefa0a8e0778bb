"""mergekit's own options on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stacker.cli.terminal.mergekit_options import OPTIONS, translate_options
from tests.cli.commands import run
from tests.donors import write_llama

CONFIG = "merge_method: passthrough\nslices:\n  - sources: [{model: a, layer_range: [0, 4]}]\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a donor and a mergekit file."""
    write_llama(tmp_path / "a")
    (tmp_path / "config.yml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_option_is_accepted(option: object, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option is accepted, with a value where mergekit has one, and warns if it has no effect."""
    row = OPTIONS[str(getattr(option, "name", ""))]
    words = [row.name] if row.flag else [row.name, "1"]
    code, _, err = run(capsys, "build", "-q", *words, "config.yml", "out")
    assert code == 0
    assert err.count(f"warning: {row.name} has no effect: ") == bool(row.instead)
    assert (home / "out/config.json").exists()


def test_all_options_without_effect_are_in_one_warning() -> None:
    """A repeated option is named once, and a `--no-` option by its own name."""
    words, warnings = translate_options(
        ["build", "c.yml", "--multi-gpu", "out", "--multi-gpu", "--no-copy-tokenizer", "--copy-tokenizer"]
    )
    assert words == ["build", "c.yml", "out"]
    assert [warning.message for warning in warnings] == ["--multi-gpu and --no-copy-tokenizer have no effect"]


def test_cuda_is_a_device() -> None:
    """`--cuda` becomes `--device auto`, which needs no GPU."""
    assert translate_options(["build", "c.yml", "out", "--cuda"]) == (["build", "c.yml", "out", "--device", "auto"], [])


def test_the_page_on_mergekit_has_all_options() -> None:
    """docs/mergekit.md lists each option of the table; -v stands for its repetitions."""
    page = (Path(__file__).parents[3] / "docs/mergekit.md").read_text()
    assert not [name for name in OPTIONS if f"`{name}`" not in page and not name.startswith("-vv")]


@pytest.mark.parametrize("words", [["--out-shard-size", "10K"], ["--out-shard-size=10K"], ["--shard-size", "10kB"]])
@pytest.mark.usefixtures("home")
def test_the_size_of_shards_is_the_same(words: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """mergekit's K, M and B are 10^3, 10^6 and 10^9 bytes."""
    code, _, err = run(capsys, "build", "-q", "config.yml", "out", *words, "--num-threads", "1")
    assert (code, err) == (0, "")
    index = json.loads((home / "out/model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1


def test_other_commands_have_none_of_them(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """Only `build` accepts mergekit's options."""
    del home
    assert translate_options(["check", "--cuda"]) == (["check", "--cuda"], [])
    assert run(capsys, "check", "config.yml", "--cuda")[0] == 2


def test_help_does_not_list_them(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows only stacker's own options."""
    _, out, _ = run(capsys, "build", "--help")
    assert "--shard-size" in out
    assert not [name for name in OPTIONS if name.startswith("--") and name in out.replace("--shard-size", "")]
