"""What came out of the trials, as a file for programs (`architectures/_tested.yaml`) and as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from stacker.arch.table import find_architecture
from tools.families.attempts import Words

STACKS = {
    "self": "`a[0:4], a[2:6]`",
    "cross": "`a[0:3], b[2:5], a[4:6]`",
    "prune": "`a[0:2], a[4:6]`",
    "ends": "`a[0:3], b[3:6]`",
    "blend": "`a[0:2], a[2:4]` and `b[2:4]` half and half, `a[4:6]`",
}
_HEAD = """# Every decoder family, tried

Made by `python -m tools.families`; the tests hold it against what stacker does. For each family two tiny donors of
random weights and six layers as varied as its config can say are stacked, loaded by transformers {version} (nothing
missing, unexpected or of another shape), and compared with the same layers rearranged in memory: logits and cached
greedy tokens must be equal to the last bit.

{stacks}

{counts}

A stack is refused, before anything is written, where no config of the family can express it; why, and what would work,
stands below the table. Families without a file are inferred from config and tensors. The donors here are as awkward as
possible: of real donors much more can be stacked.
"""


def tested_yaml(found: Mapping[str, Words]) -> str:
    """A line a family, by name: a word for each stack."""
    head = "# What came of trying each family: made by `python -m tools.families`, held by tests/families.\n"
    lines = (f"{name}: {json.dumps(words, ensure_ascii=False)}\n" for name, words in sorted(found.items()))
    return head + "".join(lines)


def families_page(found: Mapping[str, Words], version: str) -> str:
    """The page of the docs."""
    stacks = "\n".join(f"- **{name}**: {text}" for name, text in STACKS.items())
    head = _HEAD.format(version=version, stacks=stacks, counts=counts_line(found))
    columns = " | ".join(STACKS)
    rows = [f"| family | known by | {columns} |", "|---|---|" + "---|" * len(STACKS)]
    rows += [_row(name, words) for name, words in sorted(found.items())]
    reasons = [_reasons(name, words) for name, words in sorted(found.items())]
    return "\n".join([head, *rows, "", "## Why stacks are refused", "", *filter(None, reasons)]) + "\n"


def counts_line(found: Mapping[str, Words]) -> str:
    """How many families and stacks came out how."""
    words = [_kind(word) for each in found.values() if "made" not in each for word in each.values()]
    right = sum(set(map(_kind, each.values())) == {"right"} for each in found.values())
    unmade = sum("made" in each for each in found.values())
    counted = ", ".join(f"{words.count(kind)} {kind}" for kind in ("right", "refused", "wrong"))
    families = f"{len(found)} families, {right} of them right in every stack, {unmade} not made"
    return f"{families}; of {len(words)} stacks {counted}."


def _kind(word: str) -> str:
    return word.partition(":")[0]


def _row(name: str, words: Words) -> str:
    known = "its file" if find_architecture({"model_type": name}) else "inference"
    cells = ["not made"] * len(STACKS) if "made" in words else [_kind(words[stack]) for stack in STACKS]
    return f"| {name} | {known} | {' | '.join(cells)} |"


def _reasons(name: str, words: Words) -> str:
    told = {_kind(word): word for word in words.values()}.items() if "made" in words else _refusals(words.items())
    return "\n".join(f"- **{name}** {stack}: {word}" for stack, word in told)


def _refusals(words: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(stack, word.partition(": ")[2]) for stack, word in words if word != "right"]
