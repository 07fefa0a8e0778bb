"""`stacker eval` and `stacker compare`: what is said about stacks before they are built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.commands import run
from tests.measure.donors_with_words import make_text, make_tokenizer, write_worded

SPEC = "stacker: 1\nname: tall\ndonors: {a: ./a}\nstack: ['a[0:4]', 'a[2:6]']\n"
SMALL = ("--passage", "100", "--window", "32")
TEXT = ("--text", "text.txt", *SMALL)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two donors, a spec and a text; the cache is empty."""
    write_worded(tmp_path, "a", "b")
    (tmp_path / "spec.yml").write_text(SPEC)
    (tmp_path / "text.txt").write_text(make_text(400))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluation_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `eval --json` says."""
    code, out, err = run(capsys, "eval", *words, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def figures_of(found: dict[str, Any], column: int) -> dict[str, Any]:
    return {figure["measure"]: figure for figure in found["columns"][column]["figures"]}


class TestEval:
    """Several stacks in one table."""

    def test_specs_outputs_and_donors(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A built stack has the loss of its spec; both differ from the donor, with an interval."""
        assert run(capsys, "build", "spec.yml", "out")[0] == 0
        found = evaluation_of(capsys, "./a", "spec.yml", "out", *TEXT)
        donor, spec, out = (figures_of(found, column) for column in range(3))
        assert [column["layers"] for column in found["columns"]] == [6, 8, 8]
        assert out["loss"]["value"] == pytest.approx(spec["loss"]["value"], rel=1e-6)
        assert donor["loss"]["difference"] is None
        difference = spec["loss"]["difference"]
        assert difference["low"] < difference["value"] < difference["high"]
        assert difference["value"] == pytest.approx(spec["loss"]["value"] - donor["loss"]["value"])
        assert spec["kl_divergence"]["interval"]["passages"] == found["settings"]["passages"] > 6

    def test_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The table names models, measures and the verdict; a picture stands below."""
        code, out, _ = run(capsys, "eval", "./a", "spec.yml", "./b", *TEXT, "--generate", "1")
        assert code == 0
        for part in (
            "perplexity",
            "[95%]",
            "KL",
            "├",
            "●",
            "spec.yml: loss",
            "passages would tell",
        ):
            assert part in out
        assert "too few for an interval" in " ".join(out.split())

    def test_an_equal_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The donor beside itself differs by exactly 0, and the table says so."""
        found = evaluation_of(capsys, "./a", "./a", *TEXT)
        difference = figures_of(found, 1)["loss"]["difference"]
        assert (difference["value"], difference["low"], difference["high"]) == (0, 0, 0)
        assert figures_of(found, 1)["kl_divergence"]["value"] == 0
        assert "loss exactly as ./a" in " ".join(run(capsys, "eval", "./a", "./a", *TEXT)[1].split())

    def test_a_second_run_loads_nothing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same command answers from the cache; with --no-cache it does not, and says the same."""
        words = ("./a", "spec.yml", *TEXT, "--probe-set", "copying:8", "--generate", "2")
        first = evaluation_of(capsys, *words)
        again = evaluation_of(capsys, *words, "--no-cache")
        monkeypatch.setattr("stacker.compose.Stack.live", None)
        second = evaluation_of(capsys, *words)
        assert (first["cached"], again["cached"], second["cached"]) == (0, 0, 6)
        assert first["columns"] == second["columns"] == again["columns"]

    def test_questions(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Questions of a file and generated ones are subjects of their own."""
        lines = [{"prompt": "w1 w2", "choices": [" w3", " w4"], "answer": at % 2} for at in range(8)]
        (home / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
        found = evaluation_of(capsys, "./a", "./b", "--questions", "mine.jsonl", "--probe-set", "ordering:10:3")
        subjects = [figure["subject"] for figure in found["columns"][1]["figures"]]
        assert [*dict.fromkeys(subjects)] == ["mine", "ordering"]
        assert figures_of(found, 1)["accuracy"]["difference"]["questions"] == 10

    def test_streamed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Layers that pass through a window give the same figures."""
        whole = evaluation_of(capsys, "spec.yml", *TEXT, "--no-cache")
        _, _, err = run(capsys, "eval", "spec.yml", *TEXT, "--no-cache", "--max-memory", "1kB")
        least = err.partition("streamed ")[2].split()[0]
        streamed = evaluation_of(capsys, "spec.yml", *TEXT, "--no-cache", "--max-memory", f"{least}MB")
        assert streamed["columns"] == whole["columns"]

    def test_a_picture(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """--svg writes a picture with a row for each model and an interval for each but the first."""
        assert run(capsys, "eval", "./a", "spec.yml", "./b", *TEXT, "--svg", "plot.svg")[0] == 0
        root = ET.parse(home / "plot.svg").getroot()
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"./a", "spec.yml", "./b"} <= set(texts)
        assert len([*root.iter("{http://www.w3.org/2000/svg}circle")]) == 2

    @pytest.mark.parametrize(
        ("words", "code", "part"),
        [
            pytest.param(("./a",), 2, "nothing to score", id="nothing"),
            pytest.param(("./a", "--text", "none.txt"), 2, "none.txt: error: cannot be read", id="text"),
            pytest.param(("./a", "--probe-set", "sums:3"), 2, "no probe set 'sums'", id="set"),
            pytest.param(("./a", *TEXT, "--stride", "40"), 2, "does not fit windows", id="stride"),
            pytest.param(("./a", *TEXT, "--window", "100000"), 2, "write --window", id="positions"),
            pytest.param(("./a", *TEXT, "--dtype", "bf16"), 2, "write 'bfloat16'", id="dtype"),
            pytest.param(("./a", "./no", "no.yml", *TEXT), 2, "no.yml", id="sources"),
            pytest.param(("./a", "./b", *TEXT, "--svg", "no/plot.svg"), 5, "plot.svg", id="svg"),
        ],
    )
    def test_mistakes(self, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, part: str) -> None:
        """The exit code and the reason."""
        found, out, err = run(capsys, "eval", *words)
        assert found == code, err
        assert part in " ".join((out + err).split())


class TestCompare:
    """Two stacks, token by token."""

    def test_the_tokens_are_those_of_the_text(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Tokens join to the text but its first word, and their losses add up to the difference of `eval`."""
        code, out, _ = run(capsys, "compare", "./a", "spec.yml", "--text", "text.txt", "--window", "32", "--passage",
                           "0", "--json")  # fmt: skip
        assert code == 0
        found = json.loads(out)
        text = (home / "text.txt").read_text()
        assert "".join(token["text"] for token in found["tokens"]) == text[text.index(" ") + 1 :]
        changes = [token["second"] - token["first"] for token in found["tokens"]]
        assert sum(changes) / len(changes) == pytest.approx(found["loss"]["value"], rel=1e-9)
        other = evaluation_of(capsys, "./a", "spec.yml", "--text", "text.txt", "--window", "32", "--passage", "0")
        assert figures_of(other, 1)["loss"]["difference"]["value"] == pytest.approx(found["loss"]["value"], rel=1e-5)

    def test_the_report(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The terminal lists tokens that are worse and better; the page has every word, escaped."""
        (home / "text.txt").write_text("<b> & " + make_text(300))
        code, out, _ = run(capsys, "compare", "./a", "./b", *TEXT, "--most", "3", "--html", "page.html")
        assert code == 0
        assert "worse" in out
        assert "better" in out
        page = (home / "page.html").read_text()
        assert "./b compared with ./a" in page
        assert "@@" not in page
        assert "<b>" not in page
        assert 'class="worse"' in page

    def test_other_tokenizers_are_refused(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Stacks that read different tokens have no tokens to compare."""
        make_tokenizer(start=True).save_pretrained(home / "b")
        code, _, err = run(capsys, "compare", "./a", "./b", *TEXT)
        assert code == 2
        assert "different tokenizers" in err
