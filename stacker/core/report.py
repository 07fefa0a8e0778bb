"""What a build did, as a value."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Report:
    """Bytes of the output by how they came about, bytes `read` from donors on the way, and how long it all took.

    `cloned` share blocks with a donor, `copied` were copied, `holes` are zeros that take no room, `computed` took
    arithmetic; `kept` were there from an earlier, interrupted run.
    """

    cloned: int = 0
    copied: int = 0
    holes: int = 0
    computed: int = 0
    read: int = 0
    kept: int = 0
    seconds: float = 0.0

    def __add__(self, other: Report) -> Report:
        return Report(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Report)))
