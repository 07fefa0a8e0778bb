"""The log of a sweep: a journal with a line for each stack that was measured, or that could not be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stacker.errors import Mark, SpecError
from stacker.measure.results import ACCURACY, LOSS, SURPRISE, Measure, Sample
from stacker.search.journal import Journal, Kind, open_journal
from stacker.search.sweeps.grid import Point

KIND = Kind("sweep", 1)
Samples = Mapping[Measure, Sample]
_MEASURES = {measure.name: measure for measure in (LOSS, SURPRISE, ACCURACY)}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a stack: its values item by item or, if it cannot be run, the reason."""

    samples: Samples
    failure: str = ""


@dataclass
class SweepLog:
    """What has been measured, by what identifies a stack and all that it read; without a journal, nothing is kept.

    As a context manager, it holds the file's lock.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    journal: Journal | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.journal is not None:
            self.journal.close()

    def add(self, key: str, point: Point, entry: Entry) -> None:
        """Keep what was found of a point's stack; points that make the same stack share an entry."""
        self.entries[key] = entry
        if self.journal is not None:
            samples = {measure.name: asdict(sample) for measure, sample in entry.samples.items()}
            line = {"stack": key, "point": dict(point), "samples": samples, "failure": entry.failure}
            self.journal.add({"measured": line})


def open_sweep_log(path: Path | None, head: Mapping[str, Any]) -> SweepLog:
    """Open the log at `path`, which is made if it does not exist; without a path, nothing is kept.

    SpecError if the file is no log of a sweep with this `head`, LockedError if another process writes it.
    """
    if path is None:
        return SweepLog()
    journal, lines = open_journal(path, KIND, head)
    try:
        entries = {line["measured"]["stack"]: _read_entry(line["measured"]) for line in lines.entries}
    except (KeyError, TypeError, ValueError) as error:
        journal.close()
        raise SpecError.of(f"a line of the log is damaged: {error}", "", Mark(str(path))) from error
    except BaseException:
        journal.close()
        raise
    return SweepLog(entries, journal)


def _read_entry(line: Mapping[str, Any]) -> Entry:
    samples = {_MEASURES[name]: _read_sample(sample) for name, sample in line["samples"].items()}
    return Entry(samples, str(line["failure"]))


def _read_sample(sample: Mapping[str, Any]) -> Sample:
    return Sample(tuple(map(float, sample["sums"])), tuple(map(float, sample["weights"])))
