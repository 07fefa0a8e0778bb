"""The commands that measure stacks without building them: eval and compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import RUN, Json, Parameters, app, format_examples
from stacker.cli.candidates import open_candidates, write_file
from stacker.cli.executors import Address, Measurer, open_workers
from stacker.cli.outputs import check_outputs
from stacker.cli.run import Device, Kind, Memory
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.counts import show_counts
from stacker.cli.terminal.printing import make_console, print_json
from stacker.errors import Problem, SpecError, attempt, raise_problems

if TYPE_CHECKING:
    from stacker.measure.comparison.evaluation import Examination
    from stacker.measure.questions.questions import Question
    from stacker.measure.results import Evaluation

Sources = Annotated[
    list[str],
    typer.Argument(metavar="SPEC…", help="Specs, built stacks or donors; all are compared with the first.",
                   autocompletion=complete_donor),
]  # fmt: skip
Texts = Annotated[list[Path], typer.Option("--text", "-t", metavar="FILE", help="A text to score; may be repeated.")]
Pair = Annotated[
    str, typer.Argument(metavar="FIRST", help="A spec, a built stack or a donor.", autocompletion=complete_donor)
]
Other = Annotated[
    str, typer.Argument(metavar="SECOND", help="What to compare FIRST with.", autocompletion=complete_donor)
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write all texts as a page, in colour.")]
Most = Annotated[int, typer.Option("--most", min=1, help="How many tokens to list.")]
Questions = Annotated[
    list[Path], typer.Option("--questions", metavar="FILE", help="Questions as JSON lines: prompt, choices, answer.")
]
ProbeSets = Annotated[
    list[str], typer.Option("--probe-set", metavar="NAME:N[:SEED]", help="Generated questions, as arithmetic:200.")
]
Generations = Annotated[
    int, typer.Option("--generate", metavar="N", min=0, max=12, help="Answer N instructions, and continue N texts.")
]
Size = Annotated[int, typer.Option("--passage", min=0, help="Characters of a passage; 0: a file is one passage.")]
Length = Annotated[int, typer.Option("--window", min=2, help="Tokens that are read at once.")]
Stride = Annotated[int | None, typer.Option("--stride", min=1, help="Tokens between windows; else half a window.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Most tokens of windows that are read together.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep scores in the cache.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture of the differences.")]


@app.command(
    name="eval",
    rich_help_panel=RUN,
    epilog=format_examples(
        "eval ./donor stack.yml --text prose.txt --text code.py",
        "eval ./donor stack.yml --probe-set arithmetic:200 --questions mine.jsonl --json",
    ),
)
def evaluate(
    sources: Sources,
    *,
    parameter: Parameters = None,
    text: Texts = [],  # noqa: B006
    questions: Questions = [],  # noqa: B006
    probe_set: ProbeSets = [],  # noqa: B006
    generate: Generations = 0,
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
    json: Json = False,
) -> None:
    """Score stacks, built ones and donors on texts and questions, with intervals of the differences to the first."""
    from stacker.measure.comparison.evaluation import evaluate

    if not (text or questions or probe_set or generate):
        raise SpecError.of("there is nothing to score", "name a text with --text, or questions with --probe-set")
    check_outputs({"--svg": svg}, (*sources, *text, *questions))
    reading = Reading(text, passage, window, stride, batch, no_cache)
    examination = replace(examine(reading, questions, probe_set), generations=generate)
    candidates = open_candidates(sources, parameter, device, dtype, max_memory)
    with show_counts(quiet=json) as watch_for, open_workers(executor, address) as workers:
        found = evaluate(candidates, examination, watch_for, workers)
    _show(found, svg, as_json=json)


@app.command(
    rich_help_panel=RUN,
    epilog=format_examples("compare ./donor stack.yml --text prose.txt --html changes.html"),
)
def compare(
    first: Pair,
    second: Other,
    *,
    parameter: Parameters = None,
    text: Texts,
    passage: Size = 2000,
    window: Length = 512,
    stride: Stride = None,
    batch: Batch = 2048,
    device: Device = "cpu",
    dtype: Kind = None,
    max_memory: Memory = None,
    no_cache: NoCache = False,
    most: Most = 12,
    html: Html = None,
    json: Json = False,
) -> None:
    """Show where two stacks, built ones or donors differ: the tokens whose loss changes most, in their texts."""
    from stacker.measure.comparison.behaviour import compare_texts
    from stacker.view.scores.changes import changes_html, changes_json, draw_changes

    check_outputs({"--html": html}, (first, second, *text))
    examination = examine(Reading(text, passage, window, stride, batch, no_cache))
    one, two = open_candidates([first, second], parameter, device, dtype, max_memory)
    with show_counts(quiet=json) as watch_for:
        found = compare_texts(one, two, examination, watch_for)
    if html:
        write_file(html, changes_html(found))
    if json:
        print_json({"ok": True, **changes_json(found)})
    else:
        make_console().print(draw_changes(found, most))


@dataclass(frozen=True, slots=True)
class Reading:
    """Options about how texts are read, as they were given."""

    text: list[Path]
    passage: int
    window: int
    stride: int | None
    batch: int
    no_cache: bool


def examine(reading: Reading, questions: Sequence[Path] = (), sets: Sequence[str] = ()) -> Examination:
    """What is measured: the passages of the texts, and the questions of files and of generated sets.

    All that is wrong with both is raised together.
    """
    from stacker.io.files.cache_folder import find_user_cache
    from stacker.measure.comparison.evaluation import Examination
    from stacker.measure.score_cache import ScoreCache
    from stacker.measure.texts import Windowing, read_passages

    problems: list[Problem] = []
    passages = attempt(problems, partial(read_passages, reading.text, reading.passage)) if reading.text else ()
    asked = attempt(problems, partial(_collect, questions, sets))
    raise_problems(problems)
    return Examination(
        passages or (),
        asked or (),
        windowing=Windowing(reading.window, reading.stride or max(1, reading.window // 2)),
        batch=reading.batch,
        cache=ScoreCache(None if reading.no_cache else find_user_cache("scores")),
    )


def _show(found: Evaluation, svg: Path | None, *, as_json: bool) -> None:
    from stacker.view.scores.interval_plot import intervals_svg
    from stacker.view.scores.score_tables import draw_evaluation, evaluation_json, find_plotted, list_subjects

    if svg:
        title, rows = find_plotted(found, list_subjects(found)[0])
        write_file(svg, intervals_svg(title, rows))
    if as_json:
        print_json({"ok": True, **evaluation_json(found)})
    else:
        console = make_console()
        console.print(draw_evaluation(found, console.width))


def _collect(files: Sequence[Path], sets: Sequence[str]) -> tuple[Question, ...]:
    """The questions of files and of generated sets."""
    from stacker.measure.questions.probe_sets import make_questions, parse_probe_set
    from stacker.measure.questions.questions import read_questions

    made = [make_questions(*parse_probe_set(each)) for each in sets]
    return (*read_questions(files), *(question for each in made for question in each))
