"""Sweeps the parameters of a spec: each point becomes a live stack, which shares weights with the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stacker.compose import Stack, draw_blueprint, load
from stacker.errors import SpecError, raise_problems
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.io.files.cache_folder import find_user_cache
from stacker.live.live_stack import LiveStack, Settings
from stacker.measure.candidates import Candidate, Opening
from stacker.measure.comparison.evaluation import Examination, WatchFor, ignore_activity
from stacker.measure.questions.questions import hash_questions, read_questions
from stacker.measure.score_cache import ScoreCache
from stacker.measure.texts import PASSAGE, Windowing, read_passages
from stacker.measure.workers.workers import HERE, Workers
from stacker.search.sweeps.grid import Axis, Point, choose_points, format_point, make_axes
from stacker.search.sweeps.results import Sweep
from stacker.search.sweeps.sweep_log import open_sweep_log
from stacker.search.sweeps.sweeping import Sweeping, divide
from stacker.search.sweeps.sweeping import sweep as sweep_points


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What is swept: points of a stack's parameters, measured in an examination; `read` reads donors.

    What has been measured is kept in the file `log`, if there is one.
    """

    stack: Stack
    axes: Sequence[Axis]
    points: Sequence[Point]
    examination: Examination
    settings: Settings = field(default_factory=Settings)
    read: ReadDonor = field(default=read_donor, repr=False)
    log: Path | None = None


def run_sweep(request: SweepRequest, watch_for: WatchFor = ignore_activity, workers: Workers = HERE) -> Sweep:
    """Measure all points, and judge the best on parts that were kept apart."""
    loaded: list[LiveStack] = []
    settings = request.settings

    def open_stack(name: str, stack: Stack) -> Candidate:
        return Candidate(name, draw_blueprint(stack), settings, Opening(stack, settings, loaded).load)

    def open_point(point: Point) -> Candidate:
        return open_stack(format_point(point), request.stack.bind(point, request.read))

    own = open_stack(request.stack.spec.name, request.stack)
    with open_sweep_log(request.log, _make_head(request)) as log:
        work = Sweeping(open_point, own, divide(request.examination), watch_for, log, workers)
        return sweep_points(request.stack.spec.name, request.axes, request.points, work)


def _make_head(request: SweepRequest) -> dict[str, Any]:
    """What the measures in a log depend on, apart from the stacks and the tokenizer."""
    asked, settings = request.examination, request.settings
    texts = hashlib.sha256(repr([each.text for each in asked.passages]).encode()).hexdigest()
    return {
        "texts": texts,
        "questions": hash_questions(asked.questions),
        "window": asked.windowing.window,
        "stride": asked.windowing.stride,
        "batch": asked.batch,
        "device": settings.device,
        "dtype": settings.dtype,
        "packages": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }


def sweep(
    spec: str | Path,
    values: Mapping[str, Iterable[object]] | None = None,
    *,
    texts: Iterable[str | Path] = (),
    questions: Iterable[str | Path] = (),
    count: int | None = None,
    seed: int = 0,
    passage: int = PASSAGE,
    window: int = 512,
    stride: int | None = None,
    batch: int = 2048,
    device: str = "cpu",
    dtype: str | None = None,
    max_memory: int | None = None,
    log: str | Path | None = None,
) -> Sweep:
    """Measure all combinations of these values of a spec's parameters, or `count` of them, on texts and questions.

    Without values, all parameters that have a range or choices are swept. `passage` is in characters, `window`,
    `stride` and `batch` in tokens, `max_memory` in bytes. Scores are kept in the user's cache folder. SpecError if the
    spec, a value or an option is wrong.
    """
    paths, asked = [Path(each) for each in texts], [Path(each) for each in questions]
    if not (paths or asked):
        raise SpecError.of("there is nothing to score", "name files of texts or of questions")
    read = remember_donors(read_donor)
    stack = load(spec, read)
    raise_problems(stack.problems)
    axes = make_axes(values or {}, stack.spec.parameters)
    points = choose_points(axes, count, seed)
    examination = Examination(
        read_passages(paths, passage) if paths else (),
        read_questions(asked),
        Windowing(window, stride or max(1, window // 2)),
        batch,
        cache=ScoreCache(find_user_cache("scores")),
    )
    settings = Settings(device, dtype, max_memory)
    return run_sweep(SweepRequest(stack, axes, points, examination, settings, read, Path(log) if log else None))
