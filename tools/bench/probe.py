"""Probes of a real language model: the figures of its layers, and the map of repeated and dropped runs.

The program (`python -m tools.bench.probe DONOR TEXT THREADS`) runs apart and takes times after the model is loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tools import smollm2
from tools.bench.measure import Bench, BenchError, Row, at_most, run

RUNS, PASSAGES, WINDOW = 8, 16, 128
THREADS = 2


def measure(bench: Bench) -> Iterator[Row]:
    """CPU time of the cheap probes and of a whole map, and their time on two idle cores."""
    try:
        donor = smollm2.make_donor(bench.scratch / "smollm2")
    except smollm2.MissingPackageError as error:
        raise BenchError(str(error)) from error
    text = bench.scratch / "probe.txt"
    text.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    found: dict[str, float] = json.loads(run(sys.executable, "-m", __name__, donor, text, str(THREADS)).output)
    what = f"{found['tokens']:,.0f} tokens, {THREADS} threads"
    yield at_most(f"figures of 30 layers, {what}", found["survey"], 3, "s", 1, f" ({found['survey-cpu']:.1f} s of CPU)")
    minutes, seconds = found["map"] / 60, found["map-cpu"]
    yield at_most(f"map of {found['edits']:.0f} edits, {what}", minutes, 5, "min", 1, f" ({seconds:.0f} s of CPU)")


def main(donor: str, text: Path) -> dict[str, float]:
    """Times in seconds: of the figures of layers and of the map, both on the clock and of the processor."""
    from stacker.cli.run import load_source
    from stacker.measure.mapping.maps import judge_map, measure_losses
    from stacker.measure.mapping.session import open_session
    from stacker.measure.probes.edits import list_edits, order_edits
    from stacker.measure.probes.proposals import Origin
    from stacker.measure.probes.settings import ProbeSettings

    settings = ProbeSettings((text,), RUNS, passages=PASSAGES, window=WINDOW)
    live = load_source(donor, {}).live_stack()
    found: dict[str, float] = {}

    def look() -> Any:
        session = open_session(settings, live, Origin("donor", donor, 30), json.loads)
        return session, session.survey()

    session, survey = _time(found, "survey", look)
    edits = order_edits(list_edits(survey.depth, RUNS, settings.ways), survey.distances)

    def draw() -> Any:
        losses = measure_losses(session.prepared, edits, None, lambda _losses, _edit: None)
        return judge_map("donor", session.prepared, losses, len(edits))

    _time(found, "map", draw)
    return found | {"tokens": PASSAGES * WINDOW, "edits": len(edits)}


def _time(found: dict[str, float], name: str, action: Callable[[], Any]) -> Any:
    start, cpu = time.perf_counter(), time.process_time()
    result = action()
    found |= {name: time.perf_counter() - start, f"{name}-cpu": time.process_time() - cpu}
    return result


if __name__ == "__main__":
    import torch

    torch.set_num_threads(int(sys.argv[3]))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
