"""The command sweep: tries many values of a spec's parameters, live, and writes the best spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import RUN, Json, Spec, app, format_examples
from stacker.cli.candidates import write_file
from stacker.cli.evaluation import Batch, Length, NoCache, Questions, Reading, Size, Stride, examine
from stacker.cli.executors import Address, Measurer, open_workers
from stacker.cli.outputs import check_outputs
from stacker.cli.run import Device, Kind, Memory, parse_settings
from stacker.cli.terminal.counts import show_counts
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.errors import Mark, Problem, SpecError, attempt, raise_problems

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.io.donors.reader import ReadDonor
    from stacker.live.live_stack import Settings
    from stacker.search.sweeps.results import Sweep
    from stacker.searching.sweeping import SweepRequest

Swept = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", metavar="NAME=VALUES",
        help="Values to try: t=0:1:0.1, t=0,0.5,1, or a name alone for its range in the spec. May be repeated.",
    ),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", "-t", metavar="FILE", help="A text to score; may be repeated.")]
Drawn = Annotated[int | None, typer.Option("--random", min=1, metavar="N", help="Try N points drawn from the grid.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The seed for --random.")]
File = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the spec with the best values here.")
]
Log = Annotated[Path | None, typer.Option("--log", metavar="FILE", help="Keep all results here, to go on from.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the plot or heat map as SVG.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with picture and table.")]


@app.command(
    rich_help_panel=RUN,
    epilog=format_examples(
        "sweep stack.yml -p t=0:1:0.1 --text prose.txt -o best.yml",
        "sweep stack.yml -p cut=8:24:4 -p op=linear,slerp --text prose.txt --html sweep.html",
    ),
)
def sweep(
    spec: Spec,
    *,
    parameter: Swept = None,
    text: Texts = [],  # noqa: B006
    questions: Questions = [],  # noqa: B006
    random: Drawn = None,
    seed: Seed = 0,
    out: File = None,
    log: Log = None,
    passage: Size = 2000,
    window: Length = 512,
    stride: Stride = None,
    batch: Batch = 2048,
    device: Device = "cpu",
    dtype: Kind = None,
    max_memory: Memory = None,
    no_cache: NoCache = False,
    executor: Measurer = "local",
    address: Address = None,
    svg: Svg = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Try many values of a spec's parameters on texts or questions; the same command goes on after an interruption."""
    from stacker.searching.sweeping import run_sweep

    reading = Reading(text, passage, window, stride, batch, no_cache)
    outputs = {"-o": out, "--log": log, "--svg": svg, "--html": html}
    asked = _Asked(spec, parameter or [], random, seed, reading, questions, outputs)
    request = _prepare(asked, partial(parse_settings, device, dtype, max_memory))
    with show_counts(quiet=json) as watch_for, open_workers(executor, address) as workers:
        found = run_sweep(request, watch_for, workers)
    _write_files(found, request.stack, out, svg, html)
    _show(found, out, as_json=json)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options of a sweep, as they were given."""

    spec: Path
    words: list[str]
    random: int | None
    seed: int
    reading: Reading
    questions: list[Path]
    outputs: dict[str, Path | None]


def _prepare(asked: _Asked, make_settings: Callable[[], Settings]) -> SweepRequest:
    """What is swept; all that is wrong with the options, the spec and the texts is raised together."""
    from stacker.io.donors.reader import read_donor, remember_donors
    from stacker.search.sweeps.grid import choose_points, parse_axes
    from stacker.searching.sweeping import SweepRequest

    text, questions = asked.reading.text, asked.questions
    problems = [*_check_scored(text, questions)]
    attempt(problems, partial(check_outputs, asked.outputs, (asked.spec, *text, *questions)))
    settings = attempt(problems, make_settings)
    examination = attempt(problems, partial(examine, asked.reading, questions))
    read = remember_donors(read_donor)
    stack = attempt(problems, partial(_load, asked.spec, asked.outputs["-o"], read))
    axes = attempt(problems, partial(parse_axes, asked.words, stack.spec.parameters)) if stack else None
    points = attempt(problems, partial(choose_points, axes, asked.random, asked.seed)) if axes else None
    raise_problems(problems)
    if stack is None or axes is None or points is None or examination is None or settings is None:
        raise SpecError.of("the sweep cannot begin")
    return SweepRequest(stack, axes, points, examination, settings, read, asked.outputs["--log"])


def _check_scored(text: list[Path], questions: list[Path]) -> Iterator[Problem]:
    if not (text or questions):
        yield Problem("there is nothing to score", "name a text with --text, or questions with --questions")


def _load(spec: Path, out: Path | None, read: ReadDonor) -> Stack:
    """The stack of the spec; its errors are raised, also that its best values cannot be written to `out`."""
    from stacker.compose import load

    stack = load(spec, read)
    print_warnings(stack.problems)
    raise_problems(stack.problems)
    if out:
        _check_folder(stack, out)
    return stack


def _check_folder(stack: Stack, out: Path) -> None:
    """Raise a SpecError if a spec in the folder of `out` would look for its donors in another place."""
    from stacker.io.files.paths import is_folder, resolve_links

    if resolve_links(out.parent, SpecError) == resolve_links(stack.folder, SpecError):
        return
    for donor in stack.spec.donors:
        path = donor.stack or donor.source or ""
        if not Path(path).is_absolute() and (donor.stack or is_folder(stack.folder / path)):
            message = f"the path of donor '{donor.name}' is relative to {stack.folder}: write the spec there"
            raise SpecError.of(message, f"for instance: -o {stack.folder / out.name}", Mark(str(out)))


def _write_files(found: Sweep, stack: Stack, out: Path | None, svg: Path | None, html: Path | None) -> None:
    from stacker.view.sweeps.page import sweep_page_text
    from stacker.view.sweeps.picture import sweep_svg_text

    if out and found.winner:
        from stacker.spec.parser import write_name

        best = stack.bind(found.winner.point)
        write_file(out, write_name(best.write_spec(), best.spec).decode())
    if svg:
        write_file(svg, sweep_svg_text(found))
    if html:
        write_file(html, sweep_page_text(found))


def _show(found: Sweep, out: Path | None, *, as_json: bool) -> None:
    from stacker.view.sweeps.sweep_json import sweep_json
    from stacker.view.sweeps.terminal import draw_sweep

    if as_json:
        print_json({"ok": found.winner is not None, **sweep_json(found)})
    else:
        console = make_console()
        console.print(draw_sweep(found, console.width))
        if out and found.winner:
            make_console(stderr=True).print(f"{out}: the spec with the best values", soft_wrap=True)
    if found.winner is None:
        raise typer.Exit(SpecError.exit_code)
