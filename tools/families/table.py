"""What came out of the trials, as a file for programs (`architectures/_tested.yaml`) and as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from stacker.arch.families import find_architecture
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
stands below the tables. Families without a file are inferred from config and tensors. The donors here are as awkward as
possible: of real donors much more can be stacked.
"""
_WRAPPERS = """## Language models inside wrappers

Models of pictures, speech and text nest a language model: its config in an entry of the wrapper's, its tensors beside
those of towers and projectors. Its layers are stacked as its own family's are, with text as the trial's prompt; what
else the wrapper has goes with the embedding.

{counts}
"""


def tested_yaml(found: Mapping[str, Words]) -> str:
    """A line a family, by name: a word for each stack."""
    head = "# What came of trying each family: made by `python -m tools.families`, held by tests/families.\n"
    lines = (f"{name}: {json.dumps(words, ensure_ascii=False)}\n" for name, words in sorted(found.items()))
    return head + "".join(lines)


def families_page(found: Mapping[str, Words], wrapped: Mapping[str, str], version: str) -> str:
    """The page of the docs; `wrapped` gives the family of each wrapper's language model."""
    stacks = "\n".join(f"- **{name}**: {text}" for name, text in STACKS.items())
    own = {name: words for name, words in found.items() if name not in wrapped}
    inside = {name: words for name, words in found.items() if name in wrapped}
    head = _HEAD.format(version=version, stacks=stacks, counts=counts_line(own))
    rows = _table("family", {name: (_known_by(name), words) for name, words in own.items()})
    around = _WRAPPERS.format(counts=counts_line(inside, "wrappers"))
    rows_around = _table("wrapper", {name: (wrapped[name], words) for name, words in inside.items()}, "language model")
    reasons = [_reasons(name, words) for name, words in sorted(found.items())]
    last = ["", "## Why stacks are refused", "", *filter(None, reasons)]
    return "\n".join([head, *rows, "", around, *rows_around, *last]) + "\n"


def _table(first: str, rows: Mapping[str, tuple[str, Words]], second: str = "known by") -> list[str]:
    """A line of the page for each name: what stands beside it, and how each stack came out."""
    head = [f"| {first} | {second} | {' | '.join(STACKS)} |", "|---|---|" + "---|" * len(STACKS)]
    return head + [f"| {name} | {beside} | {_cells(words)} |" for name, (beside, words) in sorted(rows.items())]


def counts_line(found: Mapping[str, Words], called: str = "families") -> str:
    """How many families (or what they are called) and stacks came out how."""
    words = [_kind(word) for each in found.values() if "made" not in each for word in each.values()]
    right = sum(set(map(_kind, each.values())) == {"right"} for each in found.values())
    unmade = sum("made" in each for each in found.values())
    counted = ", ".join(f"{words.count(kind)} {kind}" for kind in ("right", "refused", "wrong"))
    families = f"{len(found)} {called}, {right} of them right in every stack, {unmade} not made"
    return f"{families}; of {len(words)} stacks {counted}."


def _kind(word: str) -> str:
    return word.partition(":")[0]


def _known_by(name: str) -> str:
    return "its file" if find_architecture({"model_type": name}) else "inference"


def _cells(words: Words) -> str:
    return " | ".join(["not made"] * len(STACKS) if "made" in words else [_kind(words[stack]) for stack in STACKS])


def _reasons(name: str, words: Words) -> str:
    told = {_kind(word): word for word in words.values()}.items() if "made" in words else _refusals(words.items())
    return "\n".join(f"- **{name}** {stack}: {word}" for stack, word in told)


def _refusals(words: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(stack, word.partition(": ")[2]) for stack, word in words if word != "right"]
