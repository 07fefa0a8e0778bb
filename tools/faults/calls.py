"""Disturbs every system call of a build in turn, each in a build of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stacker.io.disk import copies, direct
from tools.faults.attempts import Place, find_fault, find_later_fault, run
from tools.faults.injector import FAULTS, Action, Fault, Injector
from tools.faults.rows import Trial
from tools.faults.scenes import SCENES, Scene, in_scene

MOST = 5_000
"""A sweep that has not ended after so many calls is an error of the sweep."""


def sweep_calls(folder: Path) -> Iterator[Trial]:
    """Every fault at every call of every scene."""
    copies._RETRY_PAUSES = (0, 0)
    copies.MIN_DIRECT_BYTES = direct.DIRECT_ALIGNMENT  # type: ignore[attr-defined]  # a constant of `direct`
    direct._MIN_RESERVED_BYTES = direct.DIRECT_ALIGNMENT
    for fault in FAULTS:
        for scene in SCENES:
            attempt = partial(_sweep, scene, fault)
            yield Trial(scene.name, f"at each call: {fault.title}", partial(in_scene, scene, folder / "scene", attempt))


def _sweep(scene: Scene, fault: Fault, place: Place) -> Iterator[str]:
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
