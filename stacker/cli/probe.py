"""The command probe: shows what the layers of a donor do, and what repeating or dropping them would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stacker.cli.app import RUN, Json, app, format_examples
from stacker.cli.run import Device
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_json
from stacker.errors import Mark, SpecError

if TYPE_CHECKING:
    from stacker.measure.probes.results import DepthMap, Proposal, Survey

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE…", help="A donor, a built stack or a spec; two are compared layer by layer.",
                   autocompletion=complete_donor),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", metavar="FILE", help="A text file; may be repeated.")]
Runs = Annotated[int, typer.Option("--runs", min=0, metavar="N", help="Map runs of at most N layers; 0: no map.")]
Ways = Annotated[str, typer.Option("--ways", help="What is done to runs: repeat, drop, or both with a comma.")]
Hop = Annotated[list[float] | None, typer.Option("--hop", help="Also repeat runs with this hop; may be repeated.")]
Damp = Annotated[
    list[float] | None, typer.Option("--damp", help="Also repeat runs whose copy writes this much; may be repeated.")
]
Passages = Annotated[int, typer.Option("--passages", min=1, help="How many passages are measured.")]
Width = Annotated[int, typer.Option("--window", min=2, help="How many tokens of each passage are read.")]
Best = Annotated[int, typer.Option("--best", min=1, help="How many specs are proposed.")]
Specs = Annotated[Path | None, typer.Option("--specs", metavar="FOLDER", help="Write the proposed specs here.")]
Kind = Annotated[str | None, typer.Option("--dtype", help="The type of the weights in memory, such as float32.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the map as an SVG drawing.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the map as an interactive page.")]


@dataclass(frozen=True, slots=True)
class Request:
    """The options of `stacker probe` that say what is measured and what is written."""

    sources: tuple[str, ...]
    texts: tuple[Path, ...]
    runs: int
    ways: tuple[tuple[str, float], ...]
    passages: int
    window: int
    best: int
    device: str
    dtype: str | None
    specs: Path | None
    svg: Path | None
    html: Path | None


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
    text: Texts,
    runs: Runs = 0,
    ways: Ways = "repeat,drop",
    hop: Hop = None,
    damp: Damp = None,
    passages: Passages = 16,
    window: Width = 128,
    best: Best = 8,
    specs: Specs = None,
    svg: Svg = None,
    html: Html = None,
    device: Device = "cpu",
    dtype: Kind = None,
    json: Json = False,
) -> None:
    """Look into a donor: what its layers do, which can be repeated or dropped; or how alike two donors are."""
    kind = _parse_dtype(dtype)
    listed = _parse_ways(ways, hop or [], damp or [])
    request = Request(tuple(sources), tuple(text), runs, listed, passages, window, best, device, kind, specs, svg, html)
    _check(request)
    from stacker.cli.probe_session import compare_sources, map_source, open_session

    if len(sources) == 2:
        likeness = compare_sources(request, quiet=json)
        _print_likeness(likeness, as_json=json)
        return
    session = open_session(request)
    survey = session.survey()
    if not json:
        _print_survey(survey, runs)
    found, proposals = map_source(session, survey, quiet=json) if runs else (None, ())
    _write_files(request, survey, found, proposals)
    if json:
        print_json(_probe_json(request, survey, found, proposals))
    elif found:
        _print_map(found, proposals)
    if found and len(found.changes) < found.total:
        raise KeyboardInterrupt


def _parse_dtype(dtype: str | None) -> str | None:
    from stacker.spec.language.value_grammar import parse_dtype

    found = parse_dtype(dtype, Mark("--dtype")) if dtype else None
    return found.torch_name if found else None


def _parse_ways(ways: str, hops: Sequence[float], damps: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """The ways of editing with their factors, without doubles."""
    plain = [word.strip() for word in ways.split(",") if word.strip()]
    wrong = [word for word in plain if word not in ("repeat", "drop")]
    if wrong:
        raise SpecError.of(f"--ways: '{wrong[0]}' is neither repeat nor drop", "for others, use --hop and --damp")
    listed = [*((word, 1.0) for word in plain), *(("hop", each) for each in hops), *(("damp", each) for each in damps)]
    if not all(0 < factor < float("inf") for _, factor in listed):
        raise SpecError.of("the factors of --hop and --damp must be numbers above 0")
    return tuple(dict.fromkeys(listed))


def _check(request: Request) -> None:
    if len(request.sources) > 2:
        raise SpecError.of(f"there are {len(request.sources)} sources", "give one, or two to compare")
    asked = [name for name in ("specs", "svg", "html") if getattr(request, name)]
    if asked and (not request.runs or len(request.sources) == 2):
        raise SpecError.of(f"--{asked[0]} shows a map, and none was asked for", "give one source and --runs N")
    if request.runs and not request.ways:
        raise SpecError.of("--ways, --hop and --damp name nothing to do", "write --ways repeat,drop")


def _print_survey(survey: Survey, runs: int) -> None:
    from stacker.view.probes.terminal import draw_nearest, draw_survey

    console = make_console()
    console.print(f"{survey.name}: {survey.depth} layers on {survey.tokens:,} tokens", style="bold")
    console.print(draw_survey(survey))
    console.print()
    console.print(draw_nearest(survey, runs or 8))
    console.print()


def _print_map(found: DepthMap, proposals: Sequence[Proposal]) -> None:
    from stacker.view.probes.terminal import HeatMap, draw_proposals
    from stacker.view.probes.words import chance_text

    console = make_console()
    console.print(HeatMap(found))
    console.print()
    console.print(draw_proposals(proposals))
    if found.chance:
        console.print(chance_text(found.chance))


def _print_likeness(likeness: Any, *, as_json: bool) -> None:
    from stacker.view.probes.probe_json import likeness_json
    from stacker.view.probes.terminal import draw_likeness

    if as_json:
        print_json({"ok": True, "likeness": likeness_json(likeness)})
        return
    console = make_console()
    console.print(f"{likeness.first} and {likeness.second} on {likeness.tokens:,} tokens", style="bold")
    console.print(draw_likeness(likeness))
    console.print(f"after rotation, unrelated states of these sizes would reach {likeness.chance:.3f}")


def _write_files(request: Request, survey: Survey, found: DepthMap | None, proposals: Sequence[Proposal]) -> None:
    from stacker.io.disk.storage import explain_errors
    from stacker.view.probes.map_page import map_page_text
    from stacker.view.probes.map_svg import map_svg_text

    if found is None:
        return
    texts: dict[Path, str] = {}
    if request.svg:
        texts[request.svg] = map_svg_text(found)
    if request.html:
        texts[request.html] = map_page_text(found, proposals, survey)
    for number, proposal in enumerate(proposals if request.specs else (), 1):
        edit = proposal.change.edit
        name = f"{number:02}-{edit.label.replace(' ', '-')}-{edit.start}-{edit.stop}.yml"
        texts[Path(str(request.specs)) / name] = proposal.spec
    for path, content in texts.items():
        with explain_errors(path):
            if request.specs and path.parent == request.specs:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")


def _probe_json(
    request: Request, survey: Survey, found: DepthMap | None, proposals: Sequence[Proposal]
) -> dict[str, Any]:
    from stacker.view.probes.probe_json import map_json, proposal_json, survey_json

    head = {"ok": True, "source": request.sources[0], "survey": survey_json(survey)}
    return head | {"map": found and map_json(found), "proposals": [*map(proposal_json, proposals)]}
