"""The lines about the programs that compute a stack."""

from __future__ import annotations

from pathlib import Path

from stacker.view.stack.programs import answers_text, donor_faults_text
from tests.core.clients.test_verdicts import stack_of


def test_faults_of_donors_are_told_with_their_reason(tmp_path: Path) -> None:
    """The answer of each program is on one line; what is wrong with a donor already is on a line of its own."""
    kept = stack_of(tmp_path, "  - a[0:8]\n  - a[2:12]\n").verdicts()
    assert answers_text(kept) == "right in transformers, llama.cpp, vLLM, exllamav3; wrong in MLX"
    (line,) = donor_faults_text(kept).splitlines()
    assert line.startswith("  MLX, with the donor too: it ignores the sliding window")
    broken = stack_of(tmp_path, "  - a[0:7]\n  - a[4:12]\n").verdicts()
    assert donor_faults_text(broken) == line
