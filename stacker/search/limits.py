"""Says when a search ends: after a number of candidates, or when an amount of time is spent; reads such limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stacker.errors import SpecError
from stacker.search.results import Trial

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


@dataclass(frozen=True, slots=True)
class Limit:
    """The most candidates, and the most seconds that they may take together; None sets no limit.

    Time is that which the log states, so that a search that goes on decides as one that was never interrupted.
    """

    candidates: int | None = None
    seconds: float | None = None

    def share(self, part: float) -> Limit:
        """The limit at which `part` (0 to 1) of this one is used."""
        count = None if self.candidates is None else round(self.candidates * part)
        return Limit(count, None if self.seconds is None else self.seconds * part)

    def is_reached(self, trials: Sequence[Trial], more: int) -> bool:
        """Whether `more` trials exceed the limit, or its time is spent."""
        late = self.seconds is not None and sum(trial.seconds for trial in trials) >= self.seconds
        return late or (self.candidates is not None and len(trials) + more > self.candidates)

    def or_candidates(self, count: int) -> Limit:
        """The limit itself; if it sets none, one of `count` candidates."""
        return replace(self, candidates=count) if self == Limit() else self


def parse_time(text: str, name: str) -> float:
    """The seconds of a time such as `90s`, `30m` or `1.5h`; SpecError names the option `name` if it is none."""
    match = _TIME.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise SpecError.of(f"{name}: '{text}' is not a time", "write 90s, 30m or 1.5h")
    return float(match[1]) * _UNITS[match[2]]


def parse_count(text: str, name: str) -> int:
    """The number that a text such as 700M or 1.5B states; SpecError names the option if it states none."""
    units = {"K": 10**3, "M": 10**6, "B": 10**9}
    unit = units.get(text[-1:].upper(), 1)
    try:
        count = int(float(text if unit == 1 else text[:-1]) * unit)
    except (ValueError, OverflowError) as error:
        raise SpecError.of(f"{name}: '{text}' is not a number", "write 700M or 1.5B") from error
    if count < 1:
        raise SpecError.of(f"{name}: '{text}' is less than 1", "write 700M or 1.5B")
    return count
