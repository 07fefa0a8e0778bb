"""`check --fix`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.donors import write_llama

SLIPS = """\
# naem, frist and lineer stay in comments
stacker: 1
naem: many        # naem
donors:
  first: ./donor
  "second": {sourse: ./donor}
stack:
  - frist[0:2]    # frist
  - slice: first[2:3]
    scal: {o_proj: 0.5}
  - {blend: ["first[0:2]", 'secnd[0:2]'], op: slrp, t: 0.5}
  - blnd: [first, second]
    op: lineer
"""
WORDS = (
    ("naem: many", "name: many"), ("sourse", "source"), ("frist[", "first["), ("scal:", "scale:"), ("o_proj", "attn.o"),
    ("secnd", "second"), ("slrp", "slerp"), ("blnd", "blend"), ("op: lineer", "op: linear"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a donor and a spec with nine slips."""
    write_llama(tmp_path / "donor")
    (tmp_path / "spec.yml").write_text(SLIPS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_slips_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, donors, ops and roles; the diff shows each changed line, and the spec is then checked."""
    (home / "spec.yml").chmod(0o640)
    code, out, err = run(capsys, "check", "--fix", "spec.yml")
    right = SLIPS
    for slip, word in WORDS:
        right = right.replace(slip, word)
    assert (home / "spec.yml").read_text() == right
    assert (home / "spec.yml").stat().st_mode & 0o777 == 0o640
    assert (code, "11 layers" in out) == (0, True), err
    assert "-naem: many" in err
    assert "+name: many" in err
    assert "9 slips corrected" in err
    assert sorted(path.name for path in home.iterdir()) == ["donor", "spec.yml"]


def test_what_is_left_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error without an answer is reported as usual, after the corrections."""
    (home / "spec.yml").write_text("stacker: 1\ndonors: {a: ./donor}\nstak:\n  - a[0:99]\n")
    code, _, err = run(capsys, "check", "--fix", "spec.yml")
    assert code == 2
    assert "+stack:" in err
    assert "a[0:99] ends past donor 'a'" in err


def test_a_right_spec_is_not_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file keeps its time of change."""
    (home / "spec.yml").write_text("stacker: 1\ndonors: {a: ./donor}\nstack: [a]\n")
    before = (home / "spec.yml").stat()
    code, _, err = run(capsys, "check", "--fix", "spec.yml")
    assert (code, "nothing to correct" in err) == (0, True)
    assert (home / "spec.yml").stat().st_mtime_ns == before.st_mtime_ns


def test_a_link_and_a_byte_order_mark_stay(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file behind a link is changed, and begins as before."""
    (home / "spec.yml").write_bytes(b"\xef\xbb\xbfstacker: 1\r\ndonors: {a: ./donor}\r\nstak: [a]\r\n")
    (home / "link.yml").symlink_to("spec.yml")
    assert run(capsys, "check", "--fix", "link.yml")[0] == 0
    assert (home / "link.yml").is_symlink()
    assert (home / "spec.yml").read_bytes() == b"\xef\xbb\xbfstacker: 1\r\ndonors: {a: ./donor}\r\nstack: [a]\r\n"


def test_json_lists_the_corrections(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its place, and nothing else on the terminal."""
    code, out, err = run(capsys, "check", "--fix", "spec.yml", "--json")
    said = json.loads(out)
    assert (code, err, said["ok"]) == (0, "", True)
    assert {(each["slip"], each["answer"]) for each in said["fixed"]} >= {("naem", "name"), ("lineer", "linear")}
    assert said["fixed"][0]["line"] == 3


@pytest.mark.parametrize("spec", ["-", "goliath-120b", "donor", "none.yml"])
def test_only_files_are_changed(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not standard input, no packaged recipe, no folder."""
    code, _, err = run(capsys, "check", "--fix", spec)
    assert (code, "--fix changes a spec file" in err) == (2, True)
