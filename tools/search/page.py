"""The section of docs/searching.md with what the searches found, between two marks that readers do not see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

START, STOP = "<!-- make search writes from here -->", "<!-- make search writes to here -->"
_HEAD = """
## Two searches of a small model

This section is written by `make search`; do not edit it by hand. It repeats in small what
[Akiba et al. 2024](https://arxiv.org/abs/2403.13187) did: first the parameters of a blend are searched, then the order
of layers. The donors are the two fine-tunes of SmolLM2-135M that `make tunes` trains, one on Python source and one on
English prose. All texts are documents that neither was trained on. A candidate reads {passages} passages of {window}
tokens, {tokens:,} in all, unless it is stopped before. The winner is chosen on a second part of the
passages, and everything in the tables is measured on a third part, once.
"""
_TUNES = """
### Two fine-tunes: parameters, then order

The start is the base plus a times what one fine-tune changed plus b times what the other did. `--spread 3` makes 14
numbers of these two: three knots over the depth for attention and for the MLP of each, and one number for everything
else. The order search then takes the winner and the donors, and may repeat, drop, move, exchange and blend layers.
"""
_SELF = """
### The model stacked on itself

All layers of SmolLM2-135M, whose runs may be repeated, dropped and moved, and repeated with a hop or damped.
"""


def replace_section(page: str, section: str) -> str:
    """The text of the page with another section."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(STOP)
    return f"{before}{START}\n{section}{STOP}{after}"


def section_text(
    stories: Mapping[str, Mapping[str, Any]], commands: Mapping[str, str], passages: int, window: int
) -> str:
    """The section from the JSON that `stacker search` prints for `tunes` and `self`, and the two commands."""
    parts = [_HEAD.format(passages=passages, window=window, tokens=passages * window)]
    for name, words in (("tunes", _TUNES), ("self", _SELF)):
        parts += [words, f"\n```text\n$ {commands[name]}\n```\n\n", *_list_result(stories[name])]
    return "".join(parts)


def _list_result(story: Mapping[str, Any]) -> Iterator[str]:
    report = story["report"]
    spent = f"{report['tried']} candidates were tried in {report['seconds'] / 60:.0f} minutes"
    yield f"{spent}; {report['failed']} could not be measured.\n"
    yield f"The winner is `{report['how']}`. On {report['passages']} passages of the final part:\n\n"
    yield "| | perplexity | winner minus it, nats a token | |\n|---|---:|---|---|\n"
    yield f"| **the winner** | **{math.exp(report['value']):.3f}** | | |\n"
    for each in report["comparisons"]:
        figures = f"{math.exp(each['value']):.3f} | {_interval(each['difference'])}"
        yield f"| {each['name']} | {figures} | {each['verdict']} |\n"
    yield "\n"
    if report["luck"]:
        yield _luck(report["luck"])
    yield _lineage(story)


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def _luck(luck: Mapping[str, float]) -> str:
    usual, rare = (f"{luck[name]:.1f}" for name in ("usual", "rare"))
    seen = "No candidate looked better than the start on its search passages."
    if luck["best"] > 0:
        seen = f"The clearest gain on search passages was {luck['best']:.1f} standard errors."
    return (
        f"{seen} If none of the {luck['count']:.0f} candidates differed from\nthe start, chance alone would show a "
        f"gain of {usual} in half of all searches, and of more than {rare} in one of 20.\n"
    )


def _lineage(story: Mapping[str, Any]) -> str:
    steps: Sequence[int] = story["lineage"]
    if len(steps) < 2:
        return ""
    trials = story["trials"]
    lines = [f"- {trials[at]['proposal']['how']}: {trials[at]['measured']['values'][0]:+.4f}" for at in steps]
    return "\nHow the winner came about, with the change of loss on the search passages:\n\n" + "\n".join(lines) + "\n"
