"""What a build says at its end about the use of the output."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from stacker.core.clients.verdicts import Answer, Verdict
from stacker.core.side_files.selection import SideFiles
from stacker.view.stack.next_steps import list_next_steps, next_steps_text
from tests.cli.commands import run
from tests.donors import write_llama

NOTHING = SideFiles((), ())
VLLM = Verdict("vLLM", "0.1", Answer.RIGHT)


def test_every_command_names_the_output() -> None:
    """A path with a space is quoted as a shell needs it, and the line of Python holds it as Python does."""
    steps = list_next_steps(PurePath("my out"), NOTHING, (VLLM,))
    assert shlex.split(steps["check its bytes"]) == ["stacker", "verify", "my out"]
    assert shlex.split(steps["vLLM"]) == ["vllm", "serve", "my out"]
    assert steps["transformers"] == "AutoModelForCausalLM.from_pretrained('my out')"
    assert all("my out" in step for step in steps.values())


@pytest.mark.parametrize("answer", [Answer.WRONG, Answer.FAILS])
def test_a_program_that_is_wrong_gets_no_command(answer: Answer) -> None:
    """Instead of the command there is what the program does to this stack."""
    steps = list_next_steps(PurePath("out"), NOTHING, (replace(VLLM, answer=answer),))
    assert "vllm serve" not in steps["vLLM"]
    assert "stacker check" in steps["vLLM"]
    assert "this stack" in steps["vLLM"]


def test_a_long_path_stays_on_its_line() -> None:
    """Each step is one line, so that it can be copied."""
    text = next_steps_text(list_next_steps(PurePath("/data" * 40), NOTHING, ()))
    assert len(text.splitlines()) == 6


def test_a_build_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps are the last lines; `run` is offered where there is a tokenizer, and warnings of `check` come first."""
    monkeypatch.chdir(tmp_path)
    write_llama(tmp_path / "a", layers=8)
    (tmp_path / "spec.yml").write_text('stacker: 1\ndonors: {a: ./a}\nstack: ["a[0:8]", "a[7]"]\n')
    doubts = [line for line in run(capsys, "check", "spec.yml")[2].splitlines() if "warning: " in line]
    said = run(capsys, "build", "spec.yml", "out")[2].splitlines()
    assert doubts
    assert [line for line in said if "warning: " in line] == doubts
    assert said[said.index("next:") + 1].split() == ["check", "its", "bytes", "stacker", "verify", "out"]
    assert not any("stacker run" in line for line in said)
    (tmp_path / "a" / "tokenizer.json").write_text("{}")
    assert any("stacker run out" in line for line in run(capsys, "build", "spec.yml", "out", "-f")[2].splitlines())
