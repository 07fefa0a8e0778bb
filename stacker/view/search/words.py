"""What is said about a search: its verdicts, the part of luck, and points in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacker.measure.results import Estimate
from stacker.search.results import Comparison, Losses, Luck, Point, Report, Trial


@dataclass(frozen=True, slots=True)
class SearchStory:
    """Everything that is shown of a search; `report` is None while it has not ended.

    `front` has the numbers of trials that no other dominates, if there are several objectives.
    """

    name: str
    objectives: tuple[str, ...]
    trials: tuple[Trial, ...] = field(repr=False)
    lineage: tuple[Trial, ...]
    choice: tuple[Losses, ...]
    report: Report | None
    front: tuple[int, ...] = ()


def point_text(point: Point) -> str:
    """A point in one line: `t=0.5 cut=12`, or `a[0:12] b[10:20]`."""
    if isinstance(point, dict):
        return " ".join(f"{name}={_value_text(value)}" for name, value in point.items())
    return " ".join(_run_text(*run) for run in point)


def _value_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _run_text(donor: str, start: int, stop: int, more: dict[str, Any] | None = None) -> str:
    extra = "".join(f" {name} {_value_text(value)}" for name, value in (more or {}).items())
    return f"{donor}[{start}:{stop}{extra}]"


def change_text(value: float) -> str:
    """A change of loss in nats a token, with its sign."""
    return f"{value:+.4f}"


def estimate_text(estimate: Estimate) -> str:
    """A difference with its interval: `-0.0069 [-0.0136, -0.0007]`."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.4f} (too few passages for an interval)"
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"


def verdict_text(comparison: Comparison) -> str:
    """What the final part says of the winner against another stack."""
    words = {
        "better": f"better than {comparison.name}",
        "worse": f"worse than {comparison.name}",
        "no difference": f"not shown to differ from {comparison.name}",
    }
    return words[comparison.verdict]


def luck_text(luck: Luck) -> str:
    """What chance alone would show among as many candidates."""
    seen = "no candidate looked better than the start on its search passages"
    if luck.best > 0:
        seen = f"the clearest gain on search passages was {luck.best:.1f} standard errors"
    return (
        f"{luck.count} candidates were measured; {seen}. If none of them differed from the start, chance alone would "
        f"show a gain of {luck.usual:.1f} in half of all searches, and of more than {luck.rare:.1f} in one of 20."
    )


def list_summary(report: Report) -> Iterator[str]:
    """Yield sentences about the winner, honest ones: what it beats, what it does not."""
    groups: dict[str, list[str]] = {}
    for each in report.comparisons:
        groups.setdefault(each.verdict, []).append(each.name)
    said = {"better": "is better than", "no difference": "is not shown to differ from", "worse": "is worse than"}
    for verdict, words in said.items():
        if verdict in groups:
            yield f"The winner {words} {join_words(groups[verdict])}."
    if "better" not in groups:
        yield "No improvement was found."


def join_words(words: Sequence[str]) -> str:
    """Words as a list: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
