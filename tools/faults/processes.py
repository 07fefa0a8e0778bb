"""Disturbs builds from other processes: signals at random moments, and further builds of the same output."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tools.faults.attempts import Ended, Place, clear, find_fault, find_later_fault, finish, run, start
from tools.faults.rows import Trial
from tools.faults.scenes import BLENDS, COPIES, Scene, in_scene

_TIMES = 100
_SIGNALS = {
    "SIGTERM": (signal.SIGTERM,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
    "SIGKILL": (signal.SIGKILL,),
}
_WRITERS = 3
_SCENES = (Scene("copies", COPIES), Scene("blends", BLENDS))


def send_signals(folder: Path) -> Iterator[Trial]:
    """Signals once and twice, at random moments of a build."""
    for scene in _SCENES:
        for name, signals in _SIGNALS.items():
            attempt = partial(_send_often, name, signals)
            yield Trial(scene.name, f"{name} at a random moment", partial(in_scene, scene, folder / "scene", attempt))


def _send_often(name: str, signals: Sequence[signal.Signals], place: Place) -> Iterator[str]:
    source, seconds = random.Random(name), _measure(place)
    for _ in range(_TIMES):
        yield _send(place, signals, source.random() * seconds)


def _measure(place: Place) -> float:
    clear(place.folder)
    begin = time.monotonic()
    run(place.folder, place.words)
    return time.monotonic() - begin


def _send(place: Place, signals: Sequence[signal.Signals], delay: float) -> str:
    clear(place.folder)
    running = start(place.folder, place.words)
    for each in signals:
        time.sleep(delay / len(signals))
        os.kill(running.pid, each)  # it is not waited for yet, so that the number still stands for it
    ended = finish(running)
    by_signal = ended.code is not None and -ended.code in signals
    return find_fault(place, Ended(-signal.SIGKILL, "") if by_signal else ended, killed=by_signal) or find_later_fault(
        place
    )


def race_builds(folder: Path) -> Iterator[Trial]:
    """Several builds of one output that begin at the same time."""
    for scene in _SCENES:
        attack = f"{_WRITERS} builds of the same output at once"
        yield Trial(scene.name, attack, partial(in_scene, scene, folder / "scene", _race_often))


def _race_often(place: Place) -> Iterator[str]:
    for _ in range(_TIMES):
        yield _race(place)


def _race(place: Place) -> str:
    """What is wrong about the ends of builds that race: one ends with 0, the others with 6 (locked) or 2 (exists)."""
    clear(place.folder)
    builds = [start(place.folder, place.words) for _ in range(_WRITERS)]
    ended = [finish(running) for running in builds]
    codes = sorted(-1 if each.code is None else each.code for each in ended)
    if codes[0] != 0 or codes.count(0) != 1 or not set(codes) <= {0, 2, 6}:
        return f"they end with {codes}:\n" + "\n".join(each.text for each in ended)
    return find_later_fault(place)
