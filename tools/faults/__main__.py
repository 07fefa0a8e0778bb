"""`python -m tools.faults [ATTACK…] [--write]` attacks builds; `--write` puts the results into docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.faults.calls import sweep_calls
from tools.faults.costs import try_absurd_inputs
from tools.faults.injector import restart_with_injector
from tools.faults.limits import try_limits
from tools.faults.memory import limit_memory
from tools.faults.power import cut_power
from tools.faults.processes import race_builds, send_signals
from tools.faults.random_builds import build_random_specs
from tools.faults.rows import Row, update_table
from tools.faults.scenes import warm_up

ATTACKS: dict[str, Callable[[Path], Iterable[Row]]] = {
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
    """Run the chosen attacks; 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults")
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], help=f"of: {', '.join(ATTACKS)}; all by default")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    options = parser.parse_args()
    restart_with_injector()
    sound = True
    with tempfile.TemporaryDirectory(dir=_find_memory()) as folder:
        (Path(folder) / "first").mkdir()
        warm_up(Path(folder) / "first")
        for name in options.attacks or ATTACKS:
            (Path(folder) / name).mkdir()
            for row in _timed(ATTACKS[name](Path(folder) / name)):
                sound = sound and not row.faults
                if options.write:
                    update_table(row)
    return int(not sound)


def _timed(rows: Iterable[Row]) -> Iterator[Row]:
    """Print each row as it comes, with the seconds it took and what went wrong."""
    start = time.monotonic()
    for row in rows:
        print(
            f"{row.subject}: {row.attack}: {row.held} of {row.tried} held, {time.monotonic() - start:.0f} s", flush=True
        )
        for fault in row.faults[:3]:
            print(f"  {fault}", flush=True)
        start = time.monotonic()
        yield row


def _find_memory() -> Path | None:
    """A folder in memory, where syncs are fast; None if there is none."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
