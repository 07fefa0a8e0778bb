"""`python -m tools.faults [ATTACK…] [--rows PATTERN] [--missing] [--write]` attacks builds, and counts what holds.

`--write` puts each result into the table in docs/reliability.md as soon as it is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tools.faults.calls import sweep_calls
from tools.faults.costs import try_absurd_inputs
from tools.faults.injector import restart_with_injector
from tools.faults.limits import try_limits
from tools.faults.memory import limit_memory
from tools.faults.power import cut_power
from tools.faults.processes import race_builds, send_signals
from tools.faults.random_builds import build_random_specs
from tools.faults.rows import PAGE, NotPossibleError, Row, Trial, make_row, read_table, update_table
from tools.faults.scenes import warm_up

ATTACKS: dict[str, Callable[[Path], Iterable[Trial]]] = {
    "inputs": try_absurd_inputs,
    "writers": race_builds,
    "specs": build_random_specs,
    "limits": try_limits,
    "memory": limit_memory,
    "power": cut_power,
    "signals": send_signals,
    "calls": sweep_calls,
}


def main() -> int:
    """Run the chosen trials; 1 if a promise did not hold."""
    options = _parse_options()
    restart_with_injector()
    sound = True
    with tempfile.TemporaryDirectory(dir=_find_memory()) as home:
        (Path(home) / "first").mkdir()
        warm_up(Path(home) / "first")
        for trial in choose_trials(Path(home), options.attacks or list(ATTACKS), options.rows, missing=options.missing):
            row = _try(trial)
            sound = sound and not (row and row.faults)
            if row and options.write:
                update_table(row)
    return int(not sound)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.faults")
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], help=f"of: {', '.join(ATTACKS)}; all by default")
    parser.add_argument("--rows", metavar="PATTERN", default="*", help="only rows such as 'blends: SIGTERM*'")
    parser.add_argument("--missing", action="store_true", help="only rows that the table does not have yet")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    return parser.parse_args()


def choose_trials(home: Path, attacks: Sequence[str], pattern: str, *, missing: bool) -> Iterator[Trial]:
    """Yield the trials of some attacks whose row matches the pattern; each attack has a folder of its own in `home`."""
    known = {(row.subject, row.attack) for row in read_table(PAGE.read_text(encoding="utf-8"))} if missing else set()
    for name in attacks:
        (home / name).mkdir(exist_ok=True)
        for trial in ATTACKS[name](home / name):
            wanted = fnmatchcase(f"{trial.subject}: {trial.attack}", pattern)
            if wanted and (trial.subject, trial.attack) not in known:
                yield trial


def _try(trial: Trial) -> Row | None:
    """Make a trial, and print its row, the seconds it took and what went wrong; None if it is not possible here."""
    start = time.monotonic()
    try:
        row = make_row(trial.subject, trial.attack, list(trial.run()))
    except NotPossibleError as reason:
        print(f"{trial.subject}: {trial.attack}: not tried, because {reason}", flush=True)
        return None
    took = time.monotonic() - start
    print(f"{row.subject}: {row.attack}: {row.held} of {row.tried} held, {took:.0f} s", flush=True)
    for fault in row.faults[:3]:
        print(f"  {fault}", flush=True)
    return row


def _find_memory() -> Path | None:
    """A folder in memory, where syncs are fast; None if there is none."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
