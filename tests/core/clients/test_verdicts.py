"""Verdicts about programs: what each family's file says of them, applied to stacks and to their donors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stacker.arch.families import read_architectures, read_clients
from stacker.compose import Stack, load
from stacker.core.clients.verdicts import Answer, Verdict
from stacker.errors import Severity, SpecError, select_errors
from tests.donors import write_llama

GEMMA2: dict[str, Any] = {
    "model_type": "gemma2",
    "head_dim": 8,
    "sliding_window": 4,
    "sliding_window_size": 4,
    "query_pre_attn_scalar": 8,
}
NORMS = ("pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight")


def write_gemma2(folder: Path, layers: int = 12, **config: Any) -> Path:
    """A tied Gemma 2 with alternating kinds of attention."""
    extra = {f"model.layers.{index}.{name}": ("BF16", (16,)) for index in range(layers) for name in NORMS}
    return write_llama(folder, layers=layers, tied=True, extra=extra, **(GEMMA2 | config))


def stack_of(folder: Path, text: str, **donor: Any) -> Stack:
    """The stack of two Gemma 2 donors, `a` and `b`."""
    for seed, name in enumerate("ab"):
        write_gemma2(folder / name, seed=seed, **donor)
    spec = folder / "spec.yml"
    spec.write_text(f"stacker: 1\nname: test\ndonors: {{a: ./a, b: ./b}}\nstack:\n{text}")
    return load(spec)


def answers_of(stack: Stack) -> dict[str, Answer]:
    """The answer for each program."""
    return {verdict.client: verdict.answer for verdict in stack.verdicts()}


def verdict_of(stack: Stack, client: str) -> Verdict:
    """The verdict about one program."""
    return next(verdict for verdict in stack.verdicts() if verdict.client == client)


def test_a_kept_pattern_is_right(tmp_path: Path) -> None:
    """A jump by a whole period of the pattern is right in programs that count layers."""
    stack = stack_of(tmp_path, "  - a[0:8]\n  - a[2:12]\n")
    assert answers_of(stack) == {
        "transformers": Answer.RIGHT,
        "llama.cpp": Answer.RIGHT,
        "vLLM": Answer.RIGHT,
        "MLX": Answer.WRONG,
        "exllamav3": Answer.RIGHT,
    }


def test_a_broken_pattern_is_wrong_where_layers_are_counted(tmp_path: Path) -> None:
    """A jump by an odd number of layers is wrong in llama.cpp and exllamav3, which do not read `layer_types`."""
    stack = stack_of(tmp_path, "  - a[0:7]\n  - a[4:12]\n")
    assert answers_of(stack)["vLLM"] is Answer.RIGHT
    (finding,) = verdict_of(stack, "llama.cpp").findings
    assert (finding.layers, finding.of_donor) == (tuple(range(7, 15)), False)
    assert verdict_of(stack, "exllamav3").answer is Answer.WRONG


def test_the_hint_keeps_the_pattern(tmp_path: Path) -> None:
    """The proposed stack is near the given one, and right in the programs that were wrong."""
    stack = stack_of(tmp_path, "  - a[0:7]\n  - a[4:12]\n")
    (warning, *_) = [each for each in stack.lints() if "llama.cpp" in each.message]
    assert warning.severity is Severity.WARNING
    assert "this stack keeps the pattern: a[0:7], a[5:12]" in warning.hint
    assert answers_of(stack_of(tmp_path, "  - a[0:7]\n  - a[5:12]\n"))["llama.cpp"] is Answer.RIGHT


def test_ends_of_two_donors(tmp_path: Path) -> None:
    """A head of another donor is dropped by llama.cpp and refused by vLLM and MLX; both ends of one donor are right."""
    stack = stack_of(tmp_path, "  - a[0:6]\n  - b[6:12]\n")
    assert [answers_of(stack)[name] for name in ("llama.cpp", "vLLM", "MLX")] == ["wrong", "fails", "fails"]
    assert any(each.hint == "take both ends from one donor: `head: a`" for each in stack.lints())
    tied = stack_of(tmp_path, "  - a[0:6]\n  - b[6:12]\nhead: a\n")
    assert [answers_of(tied)[name] for name in ("llama.cpp", "vLLM")] == ["right", "right"]


def test_what_is_wrong_with_the_donor_is_said_of_the_donor(tmp_path: Path) -> None:
    """If a program makes the same mistake with the donor, there is only a note, which says so."""
    stack = stack_of(tmp_path, "  - a[0:8]\n  - a[2:12]\n", query_pre_attn_scalar=99)
    (note,) = [each for each in stack.lints() if "llama.cpp" in each.message]
    assert note.severity is Severity.NOTE
    assert "like its donor 'a'" in note.message


@pytest.mark.parametrize(("layers", "answer"), [(512, Answer.RIGHT), (513, Answer.FAILS)])
def test_depth_limit(tmp_path: Path, layers: int, answer: Answer) -> None:
    """llama.cpp loads at most 512 layers."""
    write_llama(tmp_path / "a")
    spec = tmp_path / "spec.yml"
    spec.write_text(f"stacker: 1\ndonors: {{a: ./a}}\nstack: [{{repeat: 'a[2:3]', times: {layers}}}]")
    assert answers_of(load(spec))["llama.cpp"] is answer


def test_an_undescribed_family_is_unknown(tmp_path: Path) -> None:
    """Where the family's file says nothing of a program, nothing is claimed; a need for it is only warned of."""
    write_llama(tmp_path / "a", model_type="helium", head_dim=8)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: [a]")
    stack = load(tmp_path / "spec.yml")
    assert answers_of(stack)["vLLM"] is Answer.UNKNOWN
    (warning,) = stack.for_clients(["vLLM"]).problems
    assert (warning.severity, "is not known" in warning.message) == (Severity.WARNING, True)


def test_needed_programs_make_errors(tmp_path: Path) -> None:
    """With `for_clients`, a program that is not right is an error, and one that is right changes nothing."""
    stack = stack_of(tmp_path, "  - a[0:7]\n  - a[4:12]\n")
    assert stack.for_clients(["vllm", "transformers"]).problems == stack.problems
    (error,) = select_errors(stack.for_clients(["LLAMA.CPP"]).problems)
    assert "llama.cpp" in error.message
    with pytest.raises(SpecError, match="nothing is known about a program called"):
        stack.for_clients(["llama.cp"])


def test_every_described_program_exists() -> None:
    """The files of families name only programs that `_clients.yaml` lists, and layer rules that the family has."""
    known = {client.name for client in read_clients()}
    for family in read_architectures():
        assert {facts.client for facts in family.clients} <= known
        named = {rule.layers for facts in family.clients for rule in facts.rules if rule.layers}
        assert named <= {rule.name for rule in family.rules}, family.name
