"""`stacker probe`: layers are described, runs are mapped, donors compared, and junctions rated for `preview`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import stacker
from stacker.compose import draw_blueprint
from stacker.io import machine
from stacker.live.forecast.memory import predict_memory
from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, write_worded

SPEC = "stacker: 1\nname: two\ndonors: {a: ./a, b: ./b}\nstack: ['a[0:4]', 'b[2:6]']\n"
SMALL = ("--text", "text.txt", "--window", "8", "--passages", "8", "--dtype", "float32")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two donors, a spec and a text; the user's cache is a folder of it."""
    write_worded(tmp_path, "a", "b")
    (tmp_path / "two.yml").write_text(SPEC)
    (tmp_path / "text.txt").write_text(make_text(2000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def probe(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `probe --json` says."""
    code, out, errors = run(capsys, "probe", *words, *SMALL, "--json")
    assert code == 0, errors + out
    found: dict[str, Any] = json.loads(out)
    return found


def test_layers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --runs, the layers are described and nothing is mapped."""
    del home
    found = probe(capsys, "./a")
    assert [layer["index"] for layer in found["survey"]["layers"]] == [*range(6)]
    assert len(found["survey"]["distances"]) == 7
    assert found["map"] is None
    assert found["proposals"] == []
    code, out, _ = run(capsys, "probe", "./a", *SMALL)
    assert code == 0
    assert "influence" in out
    assert "angular distance" in out


def test_streamed_layers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With three layers in memory, all figures, the map and the ratings of junctions are the same."""
    text = SPEC.replace("stack: ", "output: {dtype: float32}\nstack: ")
    (home / "two.yml").write_text(text)
    memory = predict_memory(draw_blueprint(stacker.load(home / "two.yml")))
    assert memory.streamed < memory.weights
    found = []
    for number, more in enumerate(((), ("--max-memory", str(memory.streamed)))):
        os.environ["XDG_CACHE_HOME"] = str(home / f"cache-{number}")
        found.append(probe(capsys, "two.yml", "--runs", "2", "--damp", "0.5", *more))
    assert found[0] == found[1]
    assert len(found[0]["map"]["changes"]) == 45


@pytest.mark.parametrize("source", ["./a", "two.yml"])
def test_a_map_ends_with_specs_that_build(home: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    """All edits are measured; proposals come best first, with three intervals, as files of specs that build."""
    depth = 6 if source == "./a" else 8
    found = probe(capsys, source, "--runs", "2", "--hop", "0.9", "--damp", "0.5", "--best", "5", "--specs", "sub/tries",
                  "--svg", "map.svg", "--html", "map.html")  # fmt: skip
    runs = depth + depth - 1
    assert found["map"]["total"] == len(found["map"]["changes"]) == 4 * runs
    changes = [proposal["change"] for proposal in found["proposals"]]
    assert changes == sorted(changes)
    assert changes[0] == min(change["change"] for change in found["map"]["changes"])
    for proposal in found["proposals"]:
        assert proposal["alone"][0] <= proposal["change"] <= proposal["alone"][1]
        assert proposal["among"][0] <= proposal["change"] <= proposal["among"][1]
        assert proposal["confirmed"] is not None
    files = sorted((home / "sub" / "tries").iterdir())
    assert len(files) == 5
    for number, file in enumerate(files):
        assert file.read_text() == found["proposals"][number]["spec"]
        stacker.load(file).build(home / f"out{number}")
    assert (home / "map.svg").read_text().count('class="cell"') == 4 * runs
    assert "drop 1:2" in (home / "map.html").read_text()


def test_a_map_is_measured_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time, every edit comes from the ledger; other weights of the same shapes are measured anew."""
    first = probe(capsys, "./a", "--runs", "1")
    (ledger,) = (home / "cache" / "stacker" / "probes").iterdir()
    size = ledger.stat().st_size
    assert probe(capsys, "./a", "--runs", "1") == first
    assert ledger.stat().st_size == size
    write_worded(home / "new", "b", "a")
    (home / "new" / "a").rename(home / "new" / "x")
    (home / "a").rename(home / "old")
    (home / "new" / "x").rename(home / "a")
    assert probe(capsys, "./a", "--runs", "1")["map"]["loss"] != first["map"]["loss"]


def test_the_best_edits_are_refined(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With enough passages, all edits are drafted and some refined; --refine sets how many, and all make no draft."""
    del home
    words = ("./a", "--runs", "2", "--best", "3")
    more = ("--text", "text.txt", "--window", "8", "--passages", "16", "--dtype", "float32", "--json")
    counts = {}
    for refine in ("0", "7", "22"):
        code, out, _ = run(capsys, "probe", *words, *more, "--refine", refine)
        assert code == 0
        found = json.loads(out)["map"]
        counts[refine] = sum(not change["draft"] for change in found["changes"])
        assert (found["total"], found["unrefined"], found["tokens"]) == (22, 0, 16 * 7)
    assert counts == {"0": 3, "7": 7, "22": 22}
    code, out, errors = run(capsys, "probe", *words, *more[:-1])
    assert "best of 6 tries on 10 passages, chosen from 22 on other passages" in out
    assert "6 of them refined" in out
    assert code == 0
    assert errors == ""  # everything was measured before


def test_a_processor_without_bfloat16(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It computes in float32 and says so, unless a type is asked for."""
    del home
    monkeypatch.setattr(machine, "read_processor_flags", lambda: frozenset({"avx2"}))
    Path("half.yml").write_text(SPEC.replace("stack: ", "output: {dtype: bfloat16}\nstack: "))
    words = ("half.yml", *SMALL[:-2])
    code, _, errors = run(capsys, "probe", *words)
    assert code == 0
    assert "two: computed in float32, because this processor has no instructions for bfloat16" in " ".join(
        errors.split()
    )
    assert run(capsys, "probe", *words, "--dtype", "bfloat16")[2] == ""


def test_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People see the map, the best edits and what chance alone would give; progress goes to standard error."""
    del home
    code, out, errors = run(capsys, "probe", "./a", "--runs", "2", *SMALL)
    assert code == 0
    assert "repeat: runs of so many layers" in out
    assert "best of 22 tries on 8 passages" in out
    assert "22/22 " in errors


def test_two_donors(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two donors are compared layer by layer, and `preview` then rates the junction between them."""
    del home
    _, before, _ = run(capsys, "preview", "two.yml", "--json")
    assert [junction["turn"] for junction in json.loads(before)["junctions"]] == [None]
    likeness = probe(capsys, "./a", "./b")["likeness"]
    assert len(likeness["rotated"]) == 7
    _, after, _ = run(capsys, "preview", "two.yml", "--json")
    assert [junction["turn"] for junction in json.loads(after)["junctions"]] == [likeness["distances"][4][2]]
    assert "turn" in run(capsys, "preview", "two.yml")[1]
    assert "follow with" in run(capsys, "probe", "./a", "./b", *SMALL)[1]


def test_a_spec_rates_its_own_junctions(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Probing a spec rates its junctions as probing its donors does."""
    found = probe(capsys, "two.yml")["junctions"]
    assert [junction["layer"] for junction in found] == [4]
    distances = probe(capsys, "./a", "./b")["likeness"]["distances"]
    assert found[0]["turn"] == pytest.approx(distances[4][2], abs=1e-6)
    (home / "jump.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:4]', 'a[2:6]']\n")
    (junction,) = probe(capsys, "jump.yml")["junctions"]
    assert junction["turn"] == pytest.approx(probe(capsys, "./a")["survey"]["distances"][4][2], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("./a", "./b", "./a"), "there are 3 sources"),
        (("./a", "./b", "--runs", "2"), "--runs maps one source"),
        (("./a", "--svg", "x.svg"), "--svg is for maps"),
        (("./a", "--runs", "2", "--ways", "swap"), "neither repeat nor drop"),
        (("./a", "--runs", "2", "--ways", ""), "name nothing to do"),
        (("./a", "--runs", "2", "--hop", "0"), "above 0"),
        (("./a", "--runs", "2", "--damp", "inf"), "above 0"),
        (("-", "--runs", "2"), "standard input"),
        (("./a", "--runs", "2", "--passages", "3"), "3 passages"),
        (("./a", "--window", "100"), "64 positions"),
        (("./nowhere",), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes(home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    """What cannot be done is said, with exit code 2 or 3 and no traceback."""
    del home
    code, _, errors = run(capsys, "probe", *SMALL, *words)
    assert code in (2, 3)
    assert message in errors
