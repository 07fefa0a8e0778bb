"""The command sweep: tries many values of a spec's parameters, live, and writes the best spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import RUN, Json, Spec, app, format_examples
from stacker.cli.candidates import Opening, write_file
from stacker.cli.evaluation import Batch, Length, NoCache, Questions, Reading, Size, Stride, examine
from stacker.cli.outputs import check_outputs
from stacker.cli.run import Device, Kind, Memory
from stacker.cli.terminal.counts import show_counts
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.errors import Mark, SpecError, raise_problems

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.io.donors.reader import ReadDonor
    from stacker.live.live_stack import LiveStack, Settings
    from stacker.measure.candidates import Candidate
    from stacker.measure.comparison.evaluation import Examination
    from stacker.search.sweep_grid import Axis, Point
    from stacker.search.sweep_results import Sweep

Swept = Annotated[
    list[str] | None,
    typer.Option(
        "-p", metavar="NAME=VALUES",
        help="Values to try: t=0:1:0.1, t=0,0.5,1, or a name alone for its range in the spec. May be repeated.",
    ),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", "-t", metavar="FILE", help="A text to score; may be repeated.")]
Drawn = Annotated[int | None, typer.Option("--random", min=1, metavar="N", help="Try N points drawn from the grid.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The seed for --random.")]
File = Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Write the spec with the best values here.")]
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
    passage: Size = 2000,
    window: Length = 512,
    stride: Stride = None,
    batch: Batch = 2048,
    device: Device = "cpu",
    dtype: Kind = None,
    max_memory: Memory = None,
    no_cache: NoCache = False,
    svg: Svg = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Try many values of a spec's parameters on texts or questions, and judge the best on parts kept apart.

    Scores are kept, so that an interrupted sweep goes on when the same command is given again.
    """
    from stacker.io.donors.reader import read_donor, remember_donors
    from stacker.search.sweep_grid import draw_points, make_grid, parse_axes

    if not (text or questions):
        raise SpecError.of("there is nothing to score", "name a text with --text, or questions with --questions")
    check_outputs({"-o": out, "--svg": svg, "--html": html}, (spec, *text, *questions))
    read = remember_donors(read_donor)
    stack = _load(spec, out, read)
    axes = parse_axes(parameter or (), stack.spec.parameters)
    points = make_grid(axes) if random is None else draw_points(axes, random, seed)
    examination = examine(Reading(text, passage, window, stride, batch, no_cache), questions)
    settings = _make_settings(device, dtype, max_memory)
    found = _sweep(stack, read, axes, points, examination, settings, quiet=json)
    _write_files(found, stack, out, svg, html)
    _show(found, out, as_json=json)


def _load(spec: Path, out: Path | None, read: ReadDonor) -> Stack:
    """The stack of the spec; its errors are raised, also that its best values cannot be written to `out`."""
    from stacker.compose import load

    stack = load(spec, read)
    print_warnings(stack.problems)
    raise_problems(stack.problems)
    if out:
        _check_folder(stack, out)
    return stack


def _make_settings(device: str, dtype: str | None, max_memory: str | None) -> Settings:
    from stacker.live.live_stack import Settings
    from stacker.spec.language.value_grammar import parse_dtype, parse_size

    kind = parse_dtype(dtype, Mark("--dtype")) if dtype else None
    limit = parse_size(max_memory, Mark("--max-memory")) if max_memory else None
    return Settings(device, kind.torch_name if kind else None, limit)


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


def _sweep(
    stack: Stack,
    read: ReadDonor,
    axes: Sequence[Axis],
    points: Sequence[Point],
    examination: Examination,
    settings: Settings,
    *,
    quiet: bool,
) -> Sweep:
    """Measure all points in this process; stacks share the weights of the first that is loaded."""
    from stacker.compose import draw_blueprint
    from stacker.measure.candidates import Candidate
    from stacker.search.sweep_grid import format_point
    from stacker.search.sweeping import Sweeping, divide, sweep

    loaded: list[LiveStack] = []

    def open_stack(name: str, each: Stack) -> Candidate:
        return Candidate(name, draw_blueprint(each), settings, Opening(each, settings, loaded).load)

    def open_point(point: Point) -> Candidate:
        return open_stack(format_point(point), stack.bind(point, read))

    with show_counts(quiet=quiet) as watch_for:
        work = Sweeping(open_point, divide(examination), watch_for)
        return sweep(stack.spec.name, axes, points, work, open_stack(stack.spec.name, stack))


def _write_files(found: Sweep, stack: Stack, out: Path | None, svg: Path | None, html: Path | None) -> None:
    from stacker.view.sweeps.page import sweep_page_text
    from stacker.view.sweeps.picture import sweep_svg_text

    if out and found.winner:
        write_file(out, stack.bind(found.winner.point).write_spec().decode())
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
