"""The perplexity of donors and blends on held-out passages; blends are built by stacker's command line and deleted."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools import smollm2
from tools.tunes.blends import BASE, BLENDS, Blend, spec_text
from tools.tunes.texts import SUBJECTS, Subject, passages
from tools.tunes.tune import tune

Figures = dict[str, float]
"""Perplexity on each subject, by the subject's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a donor or op, its settings, and its perplexity on each subject."""

    what: str
    settings: str
    found: Figures


def make_donors(scratch: Path) -> dict[str, Path]:
    """Make the base and a fine-tune on each subject.

    If a fine-tune is new, saved perplexities of earlier fine-tunes are deleted.
    """
    base = smollm2.make_donor(scratch / BASE)
    for name, subject in SUBJECTS.items():
        if not (scratch / name).exists():
            print(f"training on {subject.title}", file=sys.stderr, flush=True)
            figures_file(scratch).unlink(missing_ok=True)
            tune(base, subject, scratch / name)
    return {name: scratch / name for name in (BASE, *SUBJECTS)}


def measure(scratch: Path) -> Iterator[Row]:
    """Measure the donors, then a blend by each op; an interrupted run continues where it stopped."""
    for name, folder in make_donors(scratch).items():
        settings = f"tuned on {SUBJECTS[name].title}" if name in SUBJECTS else "what both were tuned from"
        yield Row(name, settings, _recall(scratch, name, partial(perplexities, folder)))
    for blend in BLENDS:
        yield Row(blend.op, settings_of(blend), _recall(scratch, spec_text(blend), partial(_try, blend, scratch)))
    figures_file(scratch).unlink()


def perplexities(folder: Path) -> Figures:
    """A checkpoint's perplexity on each subject."""
    return {name: measure_perplexity(folder, subject) for name, subject in SUBJECTS.items()}


def measure_perplexity(folder: Path, subject: Subject) -> float:
    """A checkpoint's perplexity on one subject: the geometric mean over the held-out passages."""
    checkpoint, tokenizer = smollm2.load(folder)
    read = (smollm2.logits_of(checkpoint, tokenizer, passage) for passage in passages(subject))
    return statistics.geometric_mean(smollm2.perplexity(*each) for each in read)


def _try(blend: Blend, scratch: Path) -> Figures:
    spec, out = scratch / "blend.yml", scratch / "blend"
    spec.write_text(spec_text(blend), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "stacker", "build", spec, out, "--quiet", "--force"], check=True)
    found = perplexities(out)
    shutil.rmtree(out)
    return found


def settings_of(blend: Blend) -> str:
    """The settings of a blend as Markdown: parameters, single source, base."""
    if blend.layers:
        return f"`stack: [{blend.layers}]`"
    sources = "" if len(blend.sources) > 1 else f"of {blend.sources[0]} alone"
    base = blend.base and f"base {blend.base}"
    return ", ".join(filter(None, (blend.settings and f"`{blend.settings}`", sources, base)))


def figures_file(scratch: Path) -> Path:
    """The JSON file that keeps perplexities until a run is complete, by the name of a donor or the spec of a blend."""
    return scratch / "figures.json"


def _recall(scratch: Path, what: str, find: Callable[[], Figures]) -> Figures:
    path = figures_file(scratch)
    kept: dict[str, Figures] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if what not in kept:
        kept[what] = find()
        path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return kept[what]
