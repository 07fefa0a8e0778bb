"""The preview command: pictures on the terminal, in files and side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.view.scenes import BLENDED, GOLIATH


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two specs and no donors."""
    (tmp_path / "goliath.yml").write_text(GOLIATH)
    (tmp_path / "blended.yml").write_text(BLENDED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("home")
class TestPreview:
    """Specs whose donors are reference configs: no weights, no hub."""

    def test_json_has_every_figure(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Figures, layers, junctions with what differs, coverage, lints and problems."""
        code, out, err = run(capsys, "preview", "goliath.yml", "--json")
        said = json.loads(out)
        assert (code, err, said["ok"]) == (0, "", True)
        assert said["figures"]["parameters"] == 117_748_948_992
        assert len(said["layers"]) == 137
        assert said["junctions"][0] == {
            "layer": 16, "jump": -8, "turn": None,
            "severity": {"level": "moderate", "like": "layers 10 to 14 twice", "perplexity_ratio": 1.43},
            "differs": {"donor": {"before": "xwin", "after": "euryale"}}
        }  # fmt: skip
        assert said["coverage"]["xwin"].count(0) == 4
        assert [lint["severity"] for lint in said["lints"]] == ["note"]
        assert said["problems"] == []

    def test_files_are_written(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Both files at once, and only their names on the terminal."""
        code, out, err = run(capsys, "preview", "goliath.yml", "--svg", "map.svg", "--html", "map.html")
        assert (code, out, err.splitlines()) == (0, "", ["wrote map.svg", "wrote map.html"])
        assert (home / "map.svg").read_text().startswith("<svg")
        assert (home / "map.html").read_text().startswith("<!doctype html>")

    @pytest.mark.parametrize(("option", "start"), [("--svg", "<svg"), ("--html", "<!doctype html>")])
    def test_a_file_can_be_standard_output(
        self, option: str, start: str, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """`-` is standard output, as elsewhere."""
        code, out, err = run(capsys, "preview", "goliath.yml", option, "-")
        assert (code, err, out[: len(start)]) == (0, "", start)
        assert not (home / "-").exists()

    @pytest.mark.parametrize(("option", "start"), [("--mermaid", "flowchart LR"), ("--dot", 'digraph "goliath-120b"')])
    def test_text_goes_to_standard_output(self, option: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Only the text, so that it can be piped."""
        code, out, err = run(capsys, "preview", "goliath.yml", option)
        assert (code, err) == (0, "")
        assert out.startswith(start)

    def test_two_specs_are_compared(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Side by side on the terminal, or as JSON."""
        code, out, _ = run(capsys, "preview", "goliath.yml", "blended.yml")
        assert code == 0
        assert "only in goliath-120b" in " ".join(out.split())
        code, out, _ = run(capsys, "preview", "goliath.yml", "blended.yml", "--json")
        assert json.loads(out)["right"]["name"] == "blended"

    def test_two_specs_in_one_page(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """--html writes one page of both, or prints it."""
        code, out, err = run(capsys, "preview", "goliath.yml", "blended.yml", "--html", "both.html")
        assert (code, out, err.splitlines()) == (0, "", ["wrote both.html"])
        assert (home / "both.html").read_text().count('<section class="stack">') == 2
        code, out, _ = run(capsys, "preview", "goliath.yml", "blended.yml", "--html", "-")
        assert (code, out) == (0, (home / "both.html").read_text())

    @pytest.mark.parametrize(
        "words",
        [
            ("goliath.yml", "blended.yml", "--svg", "map.svg"),
            ("goliath.yml", "blended.yml", "goliath.yml"),
            ("goliath.yml", "blended.yml", "--dot"),
            ("goliath.yml", "--dot", "--json"),
        ],
        ids=["two and a drawing", "three", "two and a file", "two answers"],
    )
    def test_options_that_exclude_each_other(self, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2 and advice."""
        code, out, err = run(capsys, "preview", *words)
        assert (code, out) == (2, "" if "--json" not in words else out)
        assert "one" in err + out

    def test_a_picture_that_cannot_be_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Path and reason are printed, exit code 5."""
        code, _, err = run(capsys, "preview", "goliath.yml", "--svg", "nowhere/map.svg")
        assert code == 5
        assert "nowhere/map.svg: error: cannot write" in err

    def test_check_shows_warnings(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Warnings go to standard error and do not fail; lints of severity note are shown by preview only."""
        (home / "early.yml").write_text(GOLIATH.replace("xwin[65:80]", "xwin[65:78]"))
        code, out, err = run(capsys, "check", "early.yml")
        assert code == 0
        assert "no errors, 1 warning" in out
        assert "the stack ends with layer 77 of 'xwin', not with its last, 79" in err
        assert "note: llama-2-70b stands in for donor 'xwin'" in err
        assert "in no slice" not in err


def test_a_terminal_of_another_encoding(home: Path) -> None:
    """Characters that the encoding lacks are replaced, without a traceback."""
    env = os.environ | {"PYTHONIOENCODING": "latin-1", "COLUMNS": "80"}
    command = [sys.executable, "-m", "stacker", "preview", "blended.yml"]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [["--json"], ["--svg", "x.svg"], ["--html", "x.html"], []], ids=str)
def test_looking_is_light(home: Path, words: list[str]) -> None:
    """No view imports torch, transformers, numpy or networkx."""
    heavy = "{'torch', 'transformers', 'numpy', 'networkx'}"
    code = f"import sys; from stacker.cli import main; main(sys.argv[1:]); sys.exit(len({heavy} & sys.modules.keys()))"
    command = [sys.executable, "-c", code, "preview", "goliath.yml", *words]
    done = subprocess.run(command, cwd=home, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
