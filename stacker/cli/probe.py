"""The command probe: shows what the layers of a donor do, and what repeating or dropping them would change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import RUN, Json, Parameters, app, format_examples
from stacker.cli.executors import Address, Measurer, open_workers
from stacker.cli.junctions import keep_distances, measure_turns
from stacker.cli.outputs import check_outputs
from stacker.cli.parameters import Given, share_assignments
from stacker.cli.probe_output import (
    make_folder,
    print_likeness,
    print_map,
    print_probe_json,
    print_survey,
    print_turns,
    write_map_files,
)
from stacker.cli.run import Device, Kind, Memory, load_source, parse_settings
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_warnings
from stacker.errors import SpecError

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.live.live_stack import LiveStack, Settings
    from stacker.measure.probes.proposals import Origin
    from stacker.measure.probes.results import DepthMap, Likeness, Proposal, Survey
    from stacker.measure.probes.settings import ProbeSettings
    from stacker.measure.workers.workers import Workers
    from stacker.text.emitter import Tree

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE…", help="A donor, a built stack or a spec; two are compared layer by layer.",
                   autocompletion=complete_donor),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", metavar="FILE", help="A text file; may be repeated.")]
Runs = Annotated[int, typer.Option("--runs", min=0, metavar="N", help="Map runs of at most N layers; 0: no map.")]
WaysOption = Annotated[str, typer.Option("--ways", help="What is done to runs: repeat, drop, or both with a comma.")]
Hops = Annotated[list[float] | None, typer.Option("--hop", help="Also repeat runs with this hop; may be repeated.")]
Damps = Annotated[
    list[float] | None, typer.Option("--damp", help="Also repeat runs with this factor on what the copy writes.")
]
Passages = Annotated[int, typer.Option("--passages", min=1, help="How many passages are measured.")]
Width = Annotated[int, typer.Option("--window", min=2, help="How many tokens of each passage are read.")]
Refine = Annotated[
    int | None,
    typer.Option("--refine", min=0, metavar="N", help="How many of the best get more passages; else a quarter."),
]
Best = Annotated[int, typer.Option("--best", min=1, help="How many specs are proposed.")]
Specs = Annotated[Path | None, typer.Option("--specs", metavar="FOLDER", help="Write the proposed specs here.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the map as an SVG drawing.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the map as an interactive page.")]


@app.command(
    rich_help_panel=RUN,
    epilog=format_examples(
        "probe ./donor --text prose.txt",
        "probe ./donor --text prose.txt --runs 8 --html map.html --specs tries",
        "probe ./donor ./other --text prose.txt",
    ),
)
def probe(
    sources: Sources,
    *,
    parameter: Parameters = None,
    text: Texts,
    runs: Runs = 0,
    ways: WaysOption = "repeat,drop",
    hop: Hops = None,
    damp: Damps = None,
    passages: Passages = 16,
    window: Width = 128,
    best: Best = 8,
    refine: Refine = None,
    specs: Specs = None,
    svg: Svg = None,
    html: Html = None,
    device: Device = "cpu",
    dtype: Kind = None,
    max_memory: Memory = None,
    executor: Measurer = "local",
    address: Address = None,
    json: Json = False,
) -> None:
    """Look into a donor: what its layers do, which can be repeated or dropped; or how alike two donors are."""
    from stacker.measure.probes.settings import ProbeSettings, parse_ways

    settings = ProbeSettings(tuple(text), runs, parse_ways(ways, hop or [], damp or []), passages, window, best, refine)
    files = {name: path for name, path in (("specs", specs), ("svg", svg), ("html", html)) if path}
    _check_request(sources, settings, files)
    check_outputs({"--svg": svg, "--html": html}, (*sources, *text))
    how = parse_settings(device, dtype, max_memory)
    opened = zip(sources, share_assignments(sources, parameter), strict=True)
    loaded = [_load(source, given, how) for source, given in opened]
    if len(loaded) == 2:
        _show_likeness((sources[0], sources[1]), settings, loaded, as_json=json)
        return
    with open_workers(executor, address) as workers:
        _show_source(sources[0], settings, files, *loaded[0], workers, as_json=json)


def _show_source(
    source: str,
    settings: ProbeSettings,
    files: dict[str, Path],
    stack: Stack,
    live: LiveStack,
    workers: Workers,
    *,
    as_json: bool,
) -> None:
    """Probe one source, print and write what was found, and exit with 130 if the map was interrupted."""
    folder = make_folder(files["specs"]) if "specs" in files else Path()
    survey, found, proposals = _probe(settings, stack, live, workers, source, folder, as_json=as_json)
    keep_distances([stack, stack], survey.distances)
    turns = measure_turns(stack, settings, live.settings)
    write_map_files(files, survey, found, proposals)
    if as_json:
        print_probe_json(source, survey, found, proposals, turns)
    else:
        print_turns(stack, turns)
    if found and not found.is_complete:
        make_console(stderr=True).print("interrupted; the same command goes on from here")
        raise typer.Exit(130)


def _check_request(sources: list[str], settings: ProbeSettings, files: dict[str, Path]) -> None:
    if len(sources) > 2:
        raise SpecError.of(f"there are {len(sources)} sources", "give one, or two to compare")
    if len(sources) == 2 and settings.runs:
        raise SpecError.of("--runs maps one source, not two", "leave out --runs, or one source")
    if files and not settings.runs:
        raise SpecError.of(f"--{next(iter(files))} is for maps", "ask for a map with --runs N")
    if settings.runs and sources[0] == "-":
        raise SpecError.of("a spec from standard input cannot be a donor of the proposed specs", "write it to a file")


def _load(source: str, given: Given, how: Settings) -> tuple[Stack, LiveStack]:
    stack = load_source(source, given)
    print_warnings(stack.problems)
    return stack, stack.live_stack(how.device, how.dtype or _choose_type(stack, how.device), how.max_memory)


def _choose_type(stack: Stack, device: str) -> str | None:
    """float32 if the processor has no instructions for the stack's type, which is said; else None."""
    from stacker.io.machine import read_processor_flags
    from stacker.live.forecast.fast_types import find_slow_type

    slow = find_slow_type(stack.config, read_processor_flags()) if device == "cpu" else None
    if slow is None:
        return None
    reason = f"this processor has no instructions for {slow}, and is faster so"
    make_console(stderr=True).print(
        f"{stack.spec.name}: computed in float32, because {reason} (--dtype {slow} keeps it)"
    )
    return "float32"


def _show_likeness(
    names: tuple[str, str], settings: ProbeSettings, loaded: list[tuple[Stack, LiveStack]], *, as_json: bool
) -> None:
    likeness = _compare(names, settings, [live for _, live in loaded])
    keep_distances([stack for stack, _ in loaded], likeness.distances)
    print_likeness(likeness, as_json=as_json)


def _compare(names: tuple[str, str], settings: ProbeSettings, lives: list[LiveStack]) -> Likeness:
    from stacker.measure.mapping.maps import prepare
    from stacker.measure.mapping.session import choose_passages
    from stacker.measure.states.likeness import check_same_tokens, compare_streams

    windows = [choose_passages(settings, live).measured for live in lives]
    check_same_tokens(names, windows[0], windows[1])
    first, second = (prepare(live, each).walks for live, each in zip(lives, windows, strict=True))
    return compare_streams(names, first, second)


def _describe_origin(source: str, stack: Stack, folder: Path) -> Origin:
    """How specs in `folder` name a source as their donor; a path on this machine is written relative to the folder."""
    from stacker.core.stack.hops import list_divided_roles
    from stacker.io.files.paths import exists, is_folder
    from stacker.measure.probes.proposals import Origin
    from stacker.spec.parameters.space import list_set

    path = Path(source)
    is_spec = path.suffix in (".yml", ".yaml") and not is_folder(path)
    if exists(path) and not path.is_absolute():
        moved = os.path.relpath(path, folder)
        source = moved if moved.startswith(".") else f"./{moved}"
    depth, values = len(stack.graph.layers), list_set(stack.spec.parameters)
    given: dict[str, Tree] = {"parameters": values} if values else {}
    donor: dict[str, Tree] = {"stack" if is_spec else "source": source, **given}
    return Origin(stack.spec.name, donor, depth, list_divided_roles(stack.donors.values()))


def _probe(
    settings: ProbeSettings,
    stack: Stack,
    live: LiveStack,
    workers: Workers,
    source: str,
    folder: Path,
    *,
    as_json: bool,
) -> tuple[Survey, DepthMap | None, tuple[Proposal, ...]]:
    from stacker.cli.terminal.growth import show_growth
    from stacker.compose import load_text
    from stacker.io.donors.reader import read_donor, remember_donors
    from stacker.measure.mapping.session import measure_map, open_session, propose_edits

    read, origin = remember_donors(read_donor), _describe_origin(source, stack, folder)
    _check_factors(settings, stack, origin)

    def read_spec(text: str) -> Stack:
        return load_text(text.encode(), folder / "edit.yml", read=read)

    session = open_session(settings, live, origin, read_spec, workers)
    survey = session.survey()
    if not as_json:
        print_survey(survey, settings.runs)
    if not settings.runs:
        return survey, None, ()
    with show_growth(quiet=as_json) as show:
        found = measure_map(session, survey, show)
    proposals = propose_edits(session, found) if found.is_complete else ()
    if not as_json:
        print_map(found, proposals)
    return survey, found, proposals


def _check_factors(settings: ProbeSettings, stack: Stack, origin: Origin) -> None:
    """Raise a SpecError if hops or damped copies were asked for that the family cannot have."""
    from stacker.arch.hops import find_hop_refusals
    from stacker.measure.probes.edits import Way

    if settings.list_factors(Way.HOP):
        for donor in stack.donors.values():
            for reason in find_hop_refusals(donor.architecture, donor.config, 0):
                raise SpecError.of(f"--hop: '{donor.name}' cannot have hops: {reason}", "use --ways repeat")
    if settings.list_factors(Way.DAMP) and not origin.writers:
        message = "--damp: it is not known which tensors of this family alone write to the residual stream"
        raise SpecError.of(message, "use --ways repeat")
