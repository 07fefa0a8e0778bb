"""The command search: finds better stacks than a spec, or shows the log of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import RUN, Json, app, format_examples
from stacker.cli.candidates import write_file
from stacker.cli.executors import Address, Measurer, open_workers
from stacker.cli.outputs import check_outputs
from stacker.cli.run import Device, Kind
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.errors import Mark, Problem, SpecError, attempt, raise_problems
from stacker.searching.options import Bounds, SearchOptions

if TYPE_CHECKING:
    from stacker.search.limits import Limit
    from stacker.search.results import Trial
    from stacker.searching.winners import Outcome
    from stacker.view.search.words import SearchStory

SHOW = "show"
Source = Annotated[str, typer.Argument(metavar="SPEC", help="A spec to start from; or `show`, followed by a log.")]
Shown = Annotated[Path | None, typer.Argument(metavar="[LOG]", help="After `show`: the log of a search.")]
Moved = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", metavar="NAME=VALUES",
        help="t=0.5 keeps a parameter there, t=0:1 is its range, t=0,0.5,1 are its choices. May be repeated.",
    ),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", "-t", metavar="FILE", help="A text to predict; may be repeated.")]
Questions = Annotated[list[Path], typer.Option("--questions", metavar="FILE", help="Questions as JSON lines.")]
Arrange = Annotated[bool, typer.Option("--arrange", help="Search the order of layers too, after the parameters.")]
Budget = Annotated[str | None, typer.Option("--budget", metavar="TIME", help="How long to search, such as 30m.")]
Candidates = Annotated[
    int | None, typer.Option("--candidates", metavar="N", min=1, help="How many candidates to try, about.")
]
Strategies = Annotated[
    str | None, typer.Option("--strategy", metavar="NAMES", help="scan, cma, evolution, sakana; with commas.")
]
Objectives = Annotated[
    str,
    typer.Option("--objective", metavar="NAMES", help="loss, loss:TEXT, questions, size, memory, speed; with commas."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Another seed tries other candidates.")]
MaxLayers = Annotated[int | None, typer.Option("--max-layers", min=1, help="The most layers a candidate may have.")]
MaxParameters = Annotated[
    str | None, typer.Option("--max-params", metavar="N", help="The most parameters a candidate may have: 1.5B, 700M.")
]
Licences = Annotated[
    str | None, typer.Option("--licence", metavar="IDS", help="Refuse donors with other licences: apache-2.0,mit.")
]
Spread = Annotated[
    int, typer.Option("--spread", metavar="N", min=0, help="Give each parameter N knots over the depth, by role.")
]
Passages = Annotated[int, typer.Option("--passages", min=2, help="How many passages a candidate reads.")]
Window = Annotated[int, typer.Option("--window", min=2, help="How many tokens of each passage are read.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where the winner's spec is written.")]
LogFile = Annotated[Path | None, typer.Option("--log", metavar="FILE", help="Keep all candidates here, to go on from.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write a drawing of the search.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the search as a page.")]


@app.command(
    rich_help_panel=RUN,
    epilog=format_examples(
        "search blend.yml --text code.py --text prose.txt --budget 30m -o best.yml --log search.jsonl",
        "search stack.yml --text prose.txt --arrange --candidates 200 -o best.yml",
        "search show search.jsonl --svg search.svg",
    ),
)
def search(
    source: Source,
    shown: Shown = None,
    *,
    parameter: Moved = None,
    text: Texts = [],  # noqa: B006
    questions: Questions = [],  # noqa: B006
    arrange: Arrange = False,
    budget: Budget = None,
    candidates: Candidates = None,
    strategy: Strategies = None,
    objective: Objectives = "loss",
    seed: Seed = 0,
    max_layers: MaxLayers = None,
    max_params: MaxParameters = None,
    licence: Licences = None,
    spread: Spread = 0,
    passages: Passages = 16,
    window: Window = 512,
    device: Device = "cpu",
    dtype: Kind = None,
    executor: Measurer = "local",
    address: Address = None,
    out: Out = None,
    log: LogFile = None,
    svg: Svg = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Search for a better stack: the parameters of a spec and the order of layers, judged on texts it has not seen."""
    if source == SHOW:
        return _show_log(shown, svg, html, as_json=json)
    problems = _list_slips(source, shown, {"-o": out, "--log": log, "--svg": svg, "--html": html}, (*text, *questions))
    options = SearchOptions(
        tuple(text), out or Path("best.yml"), log, tuple(questions), _limit(problems, candidates, budget), arrange,
        _split(strategy), _split(objective) or ("loss",), _bound(problems, max_layers, max_params, licence), seed,
        spread, passages, window, device, attempt(problems, partial(_parse_dtype, dtype)), tuple(parameter or ()),
    )  # fmt: skip
    return _show(_run(source, options, problems, (executor, address), quiet=json), svg, html, as_json=json)


def _limit(problems: list[Problem], candidates: int | None, budget: str | None) -> Limit:
    from stacker.search.limits import Limit, parse_time

    return Limit(candidates, attempt(problems, partial(parse_time, budget, "--budget")) if budget else None)


def _bound(problems: list[Problem], layers: int | None, parameters: str | None, licences: str | None) -> Bounds:
    from stacker.search.limits import parse_count

    most = attempt(problems, partial(parse_count, parameters, "--max-params")) if parameters else None
    return Bounds(layers, most, _split(licences) or ())


def _list_slips(
    source: str, shown: Path | None, files: Mapping[str, Path | None], inputs: Sequence[Path]
) -> list[Problem]:
    """What is wrong with the words after the command and with the files that are written in the end."""
    problems = []
    if shown is not None:
        problems.append(Problem(f"'{shown}' is too much", f"to look at a log: stacker search show {source}"))
    winner = files["-o"]
    if winner is None:
        problems.append(Problem("there is no file for the winner", "name one: -o best.yml"))
    elif winner.suffix not in (".yml", ".yaml"):
        hint = f"end it with .yml: -o {winner.with_suffix('.yml')}"
        problems.append(Problem(f"-o {winner} is not the name of a spec", hint))
    attempt(problems, partial(check_outputs, files, (source, *inputs)))
    return problems


def _split(names: str | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(each.strip() for each in names.split(",") if each.strip())


def _parse_dtype(dtype: str | None) -> str | None:
    from stacker.spec.language.value_grammar import parse_dtype

    found = parse_dtype(dtype, Mark("--dtype")) if dtype else None
    return found.torch_name if found else None


def _run(
    source: str,
    options: SearchOptions,
    problems: list[Problem],
    executor: tuple[str, str | None],
    *,
    quiet: bool,
) -> SearchStory:
    """Search, unless there are `problems`, which are told together with those of the spec and the texts.

    `executor` is the name of what measures candidates, and its address.
    """
    from stacker.searching.preparation import prepare

    request = attempt(problems, partial(prepare, Path(source), options))
    raise_problems(problems)
    assert request is not None
    print_warnings(request.stack.problems)
    from stacker.searching.pipeline import run_search

    try:
        with _show_progress(quiet=quiet) as (tell, note), open_workers(*executor) as workers:
            outcome = run_search(request, tell, note, workers)
    except KeyboardInterrupt:
        if options.log:
            make_console(stderr=True).print("interrupted; the same command goes on from here")
        raise
    for file, text in outcome.files:
        write_file(file, text.decode())
    return _make_story(Path(source).stem, outcome)


@contextmanager
def _show_progress(*, quiet: bool) -> Iterator[tuple[Callable[[Sequence[Trial]], None], Callable[[str], None]]]:
    """Yield functions for trials and notes, which are shown on standard error: in a terminal, trials in one line."""
    from stacker.view.search.terminal import progress_text

    console = make_console(stderr=True)
    if quiet:
        yield lambda _trials: None, lambda _line: None
    elif console.is_terminal:
        with console.status("reading donors and texts") as status:
            yield lambda trials: status.update(progress_text(trials)), lambda line: console.print(line, style="dim")
    else:
        yield lambda trials: console.print(progress_text(trials)), lambda line: console.print(line)


def _make_story(name: str, outcome: Outcome) -> SearchStory:
    from stacker.search.lineage import find_lineage, split_losses
    from stacker.search.ranking import find_front
    from stacker.view.search.words import SearchStory

    choice, _ = split_losses(outcome.losses)
    front = find_front([trial.values for trial in outcome.trials]) if len(outcome.objectives) > 1 else []
    lineage = find_lineage(outcome.trials, outcome.report.plan)
    return SearchStory(name, outcome.objectives, outcome.trials, lineage, choice, outcome.report, tuple(front))


def _read_story(path: Path | None) -> SearchStory:
    """What a log says, with the report if the search has ended."""
    from stacker.search.evaluation.judging import make_report
    from stacker.search.lineage import find_lineage, split_losses
    from stacker.search.log import read_log
    from stacker.search.ranking import find_front
    from stacker.view.search.words import SearchStory

    if path is None:
        raise SpecError.of("there is no log to show", "name one: stacker search show LOG")
    record = read_log(path)
    choice, final = split_losses(record.losses)
    report = make_report(final[0].name, final[0], final[1:], record.trials) if final else None
    objectives = tuple(record.head.get("objectives", ()))
    front = find_front([trial.values for trial in record.trials]) if len(objectives) > 1 else []
    lineage = find_lineage(record.trials, report.plan) if report else ()
    return SearchStory(path.stem, objectives, record.trials, lineage, choice, report, tuple(front))


def _show_log(path: Path | None, svg: Path | None, html: Path | None, *, as_json: bool) -> None:
    check_outputs({"--svg": svg, "--html": html}, (path,) if path else ())
    _show(_read_story(path), svg, html, as_json=as_json)


def _show(story: SearchStory, svg: Path | None, html: Path | None, *, as_json: bool) -> None:
    from stacker.view.search.page import story_json, story_page
    from stacker.view.search.search_svg import story_svg
    from stacker.view.search.terminal import draw_story

    if svg:
        write_file(svg, story_svg(story))
    if html:
        write_file(html, story_page(story))
    if as_json:
        print_json({"ok": True, **story_json(story)})
    else:
        console = make_console()
        console.print(draw_story(story, console.width))
