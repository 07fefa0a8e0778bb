"""Says what can be done with a finished output: the command or the line of Python for each program that loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from shlex import quote

from stacker.core.clients.verdicts import Answer, Verdict
from stacker.core.side_files.kinds import Kind
from stacker.core.side_files.selection import SideFiles

_DOUBTS = {
    Answer.RIGHT: "",
    Answer.UNKNOWN: "",
    Answer.WRONG: "computes this stack wrongly; `stacker check` says why",
    Answer.FAILS: "does not load this stack; `stacker check` says why",
}
"""What is said of a program instead of its command; "" where the command is shown."""


def list_next_steps(out: PurePath, files: SideFiles, verdicts: Sequence[Verdict]) -> dict[str, str]:
    """What to do with the output folder `out`: a command for each purpose or program, in order of use.

    A program that does not compute the stack correctly gets the reason instead. Nothing is asked of a stack without a
    tokenizer.
    """
    place = quote(str(out))
    answers = {verdict.client: verdict.answer for verdict in verdicts}
    steps = {"check its bytes": f"stacker verify {place}"}
    if any(each.rule.kind is Kind.TOKENIZER for each in files.carried):
        steps["ask it"] = f"stacker run {place} --prompt 'Once upon a time'"
    programs = {
        "transformers": f"AutoModelForCausalLM.from_pretrained({str(out)!r})",
        "vLLM": f"vllm serve {place}",
        "llama.cpp": f"python convert_hf_to_gguf.py {place} --outfile {quote(f'{out}.gguf')}",
    }
    told = {name: _DOUBTS[answers.get(name, Answer.UNKNOWN)] or call for name, call in programs.items()}
    return steps | told | {"share it": f"stacker push {place} OWNER/NAME"}


def next_steps_text(steps: Mapping[str, str]) -> str:
    """The steps as lines under a heading, for the end of a build; lines are not wrapped, so that they can be copied."""
    width = max(map(len, steps))
    return "\n".join(("next:", *(f"  {name:<{width}}  {step}" for name, step in steps.items())))
