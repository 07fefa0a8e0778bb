"""Probes of a real language model: the figures of its layers, and the map of repeated and dropped runs.

The program (`python -m tools.bench.probe DONOR TEXT THREADS`) runs apart and takes times after the model is loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tools import smollm2
from tools.bench.measure import Bench, BenchError, Row, at_most, run

RUNS, PASSAGES, WINDOW = 8, 16, 128
THREADS = 2


def measure(bench: Bench) -> Iterator[Row]:
    """Time of the cheap probes and of a whole map, on the clock and of the processor."""
    try:
        donor = smollm2.make_donor(bench.scratch / "smollm2")
    except smollm2.MissingPackageError as error:
        raise BenchError(str(error)) from error
    text = bench.scratch / "probe.txt"
    text.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    found: dict[str, float] = json.loads(run(sys.executable, "-m", __name__, donor, text, str(THREADS)).output)
    what = f"{found['tokens']:,.0f} tokens, {THREADS} threads"
    yield at_most(f"figures of 30 layers, {what}", found["survey"], 3, "s", 1, f" ({found['survey-cpu']:.1f} s of CPU)")
    raced, raced_cpu = found["draft"] + found["refined"], found["draft-cpu"] + found["refined-cpu"]
    what = f"map of {found['edits']:.0f} edits, {what}"
    best = f"a draft of all, {found['best']:.0f} refined"
    yield at_most(f"{what}: {best}", raced / 60, 5, "min", 1, f" ({raced_cpu:.0f} s of CPU)")
    whole, whole_cpu = raced + found["others"], raced_cpu + found["others-cpu"]
    yield at_most(f"{what}: all on all passages", whole / 60, 5, "min", 1, f" ({whole_cpu:.0f} s of CPU)")


def main(donor: str, text: Path) -> dict[str, float]:
    """Seconds that the figures of layers take, and the parts of the map, both on the clock and of the processor.

    The parts are all edits on the passages of the draft, the best on the other passages, and all others on these too.
    """
    from stacker.cli.run import load_source
    from stacker.measure.mapping.maps import Losses, Prepared, measure_losses
    from stacker.measure.mapping.refining import choose_edits
    from stacker.measure.mapping.session import open_session
    from stacker.measure.probes.edits import Edit, list_edits, order_edits
    from stacker.measure.probes.proposals import Origin
    from stacker.measure.probes.settings import ProbeSettings

    settings = ProbeSettings((text,), RUNS, passages=PASSAGES, window=WINDOW)
    live = load_source(donor, {}).live_stack()
    found: dict[str, float] = {}

    def look() -> Any:
        session = open_session(settings, live, Origin("donor", donor, 30), json.loads)
        return session, session.survey()

    def read(name: str, prepared: Prepared, edits: Sequence[Edit]) -> Losses:
        losses: Losses = _time(found, name, lambda: measure_losses(prepared, edits, None, lambda *_: None))
        return losses

    session, survey = _time(found, "survey", look)
    edits = order_edits(list_edits(survey.depth, RUNS, settings.ways), survey.distances)
    best = choose_edits(read("draft", session.draft, edits), settings.count_refined(len(edits)))
    read("refined", session.rest, best)
    read("others", session.rest, [edit for edit in edits if edit not in best])
    return found | {"tokens": PASSAGES * WINDOW, "edits": len(edits), "best": len(best)}


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
