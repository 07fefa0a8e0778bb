"""Says which programs (clients) compute a stack correctly, as one line of text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stacker.core.clients.verdicts import Answer, Verdict, group_answers

_WORDS = {
    Answer.RIGHT: "right in",
    Answer.WRONG: "wrong in",
    Answer.FAILS: "does not load in",
    Answer.UNKNOWN: "not known for",
}


def answers_text(verdicts: Sequence[Verdict]) -> str:
    """A line that lists the programs by answer, such as `right in transformers, vLLM; wrong in llama.cpp`."""
    groups = group_answers(verdicts)
    return "; ".join(f"{_WORDS[answer]} {', '.join(each.client for each in group)}" for answer, group in groups.items())


def donor_faults_text(verdicts: Sequence[Verdict]) -> str:
    """A line for each reason why a program already computes a donor wrongly or does not load it; "" if there is none.

    Reasons that are the stack's own are warnings, and left out here.
    """
    lines = (
        f"  {verdict.client}, with the donor too: {finding.text}"
        for verdict in verdicts
        for finding in verdict.findings
        if finding.of_donor
    )
    return "\n".join(dict.fromkeys(lines))


def verdicts_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as a JSON value, one entry for each program; `basis` is null if nothing is known."""
    return [
        {
            "program": verdict.client,
            "version": verdict.version or None,
            "answer": str(verdict.answer),
            "basis": str(verdict.basis) if verdict.basis else None,
            "reasons": [
                {"reason": finding.text, "of_donor": finding.of_donor, "source": finding.rule.source}
                for finding in verdict.findings
            ],
        }
        for verdict in verdicts
    ]
