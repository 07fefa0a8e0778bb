"""The results of trying families, as a file for programs (`architectures/_tested.yaml`) and as a page of the docs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from stacker.arch.families import find_architecture
from tools.families.attempts import Results
from tools.families.programs import PROGRAMS, introduction, list_mistakes, program_cells

STACKS = {
    "self": "`a[0:4], a[2:6]`",
    "cross": "`a[0:3], b[2:5], a[4:6]`",
    "prune": "`a[0:2], a[4:6]`",
    "ends": "`a[0:3], b[3:6]`",
    "blend": "`a[0:2]`, the mean of `a[2:4]` and `b[2:4]`, `a[4:6]`",
    "self 12": "`a[0:11], a[9:12]`",
    "cross 12": "`a[0:4], b[3:12]`",
    "prune 12": "`a[0:3], a[10:12]`",
    "order 12": "`a[0:3], a[9:12], a[3:6], b[10:12]`",
}
_DEPTHS = {6: [name for name in STACKS if "12" not in name], 12: [name for name in STACKS if "12" in name]}
"""The names of the stacks by the number of layers that their donors have."""
_HEAD = """# Every decoder family, tried

This page is written by `python -m tools.families`, and tests check that it is up to date. Each family is tried with two
tiny donors of random weights, of six layers and again of 12, so that some layer numbers have two digits. The layers are
as different as the config of the family allows. Each stack is loaded by transformers {version}, without missing or
unexpected tensors or wrong shapes. Then it is compared with the same layers rearranged in memory: logits, and greedy
tokens with a cache, must be equal to the last bit. Nine stacks of the donors `a` and `b` are tried, the last four with
donors of 12 layers:

{stacks}

{counts}

A stack is refused if no config of the family can express it; then nothing is written. The reasons, and stacks that
would work, are listed below the tables. Families without a file are inferred from config and tensors. The donors here
are chosen to be difficult; real donors allow many more stacks.
"""
_WRAPPERS = """## Language models inside wrappers

Models of images, speech and text contain a language model. Its config is an entry of the wrapper's config, and its
tensors are stored next to those of towers and projectors. Its layers are stacked by the rules of its own family, and
everything else is copied from the donor of the embedding. The prompts of these trials are text.

{counts}
"""


def tested_yaml(found: Mapping[str, Results]) -> str:
    """The text of `_tested.yaml`: one line for each family, sorted by name."""
    head = "# Results of trying each family: written by `python -m tools.families`, checked by tests/families.\n"
    lines = (f"{name}: {json.dumps(words, ensure_ascii=False)}\n" for name, words in sorted(found.items()))
    return head + "".join(lines)


def families_page(found: Mapping[str, Results], wrapped: Mapping[str, str], version: str) -> str:
    """The text of docs/families.md; `wrapped` names the language model's family of each wrapper."""
    stacks = "\n".join(f"- **{name}**: {text}" for name, text in STACKS.items())
    own = {name: words for name, words in found.items() if name not in wrapped}
    inside = {name: words for name, words in found.items() if name in wrapped}
    head = _HEAD.format(version=version, stacks=stacks, counts=counts_line(own))
    rows = _families_table(own)
    around = _WRAPPERS.format(counts=counts_line(inside, "wrappers"))
    rows_around = _table("wrapper", {name: (wrapped[name], words) for name, words in inside.items()}, "language model")
    reasons = [_reasons(name, words) for name, words in sorted(found.items())]
    last = ["", "## Why stacks are refused", "", *filter(None, reasons)]
    mistakes = ["", "## What other programs get wrong", "", *list_mistakes(own)]
    return "\n".join([head, introduction(), *rows, "", around, *rows_around, *last, *mistakes]) + "\n"


def _families_table(own: Mapping[str, Results]) -> list[str]:
    """The table of families, with a column for each program besides transformers."""
    lines = _table("family", {name: (_known_by(name), words) for name, words in own.items()})
    more = [PROGRAMS, ["---"] * len(PROGRAMS), *(program_cells(name) for name in sorted(own))]
    return [f"{line} {' | '.join(cells)} |" for line, cells in zip(lines, more, strict=True)]


def _table(first: str, rows: Mapping[str, tuple[str, Results]], second: str = "known by") -> list[str]:
    """A Markdown table with one line for each name: the name, a second column, and the result of each stack."""
    head = [f"| {first} | {second} | {' | '.join(STACKS)} |", "|---|---|" + "---|" * len(STACKS)]
    return head + [f"| {name} | {beside} | {_cells(words)} |" for name, (beside, words) in sorted(rows.items())]


def counts_line(found: Mapping[str, Results], called: str = "families") -> str:
    """Sentences that count the families (called `called`), and the stacks by depth and result."""
    right = sum(set(map(_kind, each.values())) == {"right"} for each in found.values())
    unmade = sum("made" in each for each in found.values())
    families = f"{len(found)} {called}, {right} of them right in every stack, {unmade} not made."
    return " ".join([families, *(_count_stacks(found, depth) for depth in _DEPTHS)])


def _count_stacks(found: Mapping[str, Results], depth: int) -> str:
    words = [_kind(each[name]) for each in found.values() if "made" not in each for name in _DEPTHS[depth]]
    counted = ", ".join(f"{words.count(kind)} {kind}" for kind in ("right", "refused", "wrong"))
    return f"Of {len(words)} stacks at {depth} layers {counted}."


def _kind(word: str) -> str:
    return word.partition(":")[0]


def _known_by(name: str) -> str:
    return "its file" if find_architecture({"model_type": name}) else "inference"


def _cells(words: Results) -> str:
    return " | ".join(["not made"] * len(STACKS) if "made" in words else [_kind(words[stack]) for stack in STACKS])


def _reasons(name: str, words: Results) -> str:
    reasons = {_kind(word): word for word in words.values()}.items() if "made" in words else _refusals(words.items())
    return "\n".join(f"- **{name}** {stack}: {word}" for stack, word in reasons)


def _refusals(words: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(stack, word.partition(": ")[2]) for stack, word in words if word != "right"]
