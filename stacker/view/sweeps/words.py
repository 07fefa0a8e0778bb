"""Says what a sweep found, in words that all its views share."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.errors import escape_text
from stacker.measure.results import Estimate
from stacker.search.sweeps.grid import format_point
from stacker.search.sweeps.results import Sweep, Trial


def difference_text(difference: Estimate | None) -> str:
    """A difference with its interval, such as `-0.0123 [-0.0200, -0.0046]`; empty if there is none."""
    if difference is None:
        return ""
    if difference.low is None or difference.high is None:
        return f"{difference.value:+.4f}"
    return f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"


def title_text(found: Sweep) -> str:
    """What was swept and measured."""
    return f"{clean(found.name)}: {found.measure.title}, {found.measure.unit}; difference to the spec's own values"


def list_conclusions(found: Sweep) -> Iterator[str]:
    """Yields sentences: what the best is, what chance alone would give, and what the items kept apart say."""
    failed = sum(bool(trial.failure) for trial in found.trials)
    items = found.measure.items
    points = f"{len(found.trials)} point{'' if len(found.trials) == 1 else 's'}"
    yield f"{points} on {found.items} {items}; {found.kept} {items} kept apart" + (
        f"; {failed} failed" if failed else ""
    )
    if found.winner is None:
        return
    yield f"best: {name_trial(found.winner)}"
    if found.chance and found.chance.tries > 1:
        chance = found.chance
        yield (
            f"best of {chance.tries} tries: by chance alone it would look {chance.usual:.1f} standard errors better, "
            f"here it looks {max(chance.best, 0.0):.1f} better (p = {chance.probability:.2g})"
        )
    said = difference_text(found.final)
    yield f"on what was kept apart: {said + ': ' if said else ''}{clean(found.verdict)}"


def name_trial(trial: Trial) -> str:
    """The point of a trial; the spec's own values have no point."""
    return clean(format_point(trial.point)) or "the spec's own values"


def clean(text: str) -> str:
    """A text of the spec as it can be shown: with escapes in place of control characters, and cut if it is long."""
    return escape_text(text, 300)
