"""Disturbs every system call of a build in turn, each in a build of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stacker.io.disk import copies, direct
from tools.faults.attempts import Place, find_fault, find_later_fault, run
from tools.faults.injector import FAULTS, Action, Fault, Injector
from tools.faults.rows import Row, make_row
from tools.faults.scenes import SCENES, Scene, open_scene

MOST = 5_000
"""A sweep that has not ended after so many calls is an error of the sweep."""


def sweep_calls(folder: Path) -> Iterator[Row]:
    """Every fault at every call of every scene."""
    copies._RETRY_PAUSES = (0, 0)
    copies.MIN_DIRECT_BYTES = direct.DIRECT_ALIGNMENT  # type: ignore[attr-defined]  # a constant of `direct`
    direct._MIN_RESERVED_BYTES = direct.DIRECT_ALIGNMENT
    for fault in FAULTS:
        for scene in SCENES:
            place_of_fault = folder / f"{FAULTS.index(fault)}-{SCENES.index(scene)}"
            with open_scene(scene, place_of_fault) as place:
                yield make_row(scene.name, f"at each call: {fault.title}", list(sweep(scene, place, fault)))
            shutil.rmtree(place_of_fault)


def sweep(scene: Scene, place: Place, fault: Fault) -> Iterator[str]:
    """Let the fault happen at the first call, then at the second, and so on; yields what each build did wrong."""
    injector = Injector()
    for number in range(MOST):
        scene.prepare(place.folder)
        ended = run(place.folder, place.words, partial(injector.arm, place.folder, fault, number))
        if not injector.has_happened():
            return
        call = injector.find_call()
        wrong = find_fault(place, ended, killed=fault.action is Action.KILL) or find_later_fault(place)
        yield f"call {number} ({call}): {wrong}" if wrong else ""
    raise RuntimeError(f"{scene.name}: more than {MOST} calls")
