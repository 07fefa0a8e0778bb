"""Commands that tell what a build would do without reading any weights: check, config and plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import LOOK, For, Json, Parameters, Spec, app, format_examples
from stacker.cli.fixing import corrections_json, fix_spec
from stacker.cli.parameters import parse_assignments
from stacker.cli.terminal.printing import find_exit_code, make_console, print_json, print_warnings, problems_json
from stacker.errors import raise_problems, select_errors, select_warnings

Fix = Annotated[
    bool,
    typer.Option("--fix", help="First correct misspelt words in the file SPEC, where only one word can be meant."),
]


@app.command(
    rich_help_panel=LOOK,
    epilog=format_examples("check stack.yml", "check stack.yml --fix", "check stack.yml --for llama.cpp"),
)
def check(
    spec: Spec, *, parameter: Parameters = None, clients: For = None, fix: Fix = False, json: Json = False
) -> None:
    """Report every error and warning in a spec and its stack, and which programs compute it correctly."""
    from stacker.compose import load
    from stacker.view.stack.programs import answers_text, donor_faults_text, verdicts_json
    from stacker.view.tables.side_files import side_files_json

    values = parse_assignments(parameter)
    fixed = corrections_json(fix_spec(spec, values, quiet=json)) if fix else []
    loaded = load(spec, parameters=values)
    stack = loaded.for_clients(clients or ())
    wrong = select_errors(stack.problems)
    lints = () if wrong else stack.lints()
    if json:
        found = {"fixed": fixed, "problems": problems_json(stack.problems), "lints": problems_json(lints)}
        beside = {"programs": verdicts_json(loaded.verdicts()), "files": side_files_json(stack.side_files)}
        print_json({"ok": not wrong} | found | beside)
        raise typer.Exit(find_exit_code(wrong))
    doubts = select_warnings((*stack.problems, *lints))
    print_warnings((*stack.problems, *select_warnings(lints)))
    raise_problems(wrong)
    text = f"{spec}: {len(stack.graph.layers)} layers, {_doubts_text(len(doubts))}"
    verdicts = loaded.verdicts()
    lines = (text, answers_text(verdicts), donor_faults_text(verdicts))
    make_console().print("\n".join(filter(None, lines)), soft_wrap=True)


def _doubts_text(doubts: int) -> str:
    return f"no errors, {doubts} warning{'s'[: doubts > 1]}" if doubts else "nothing wrong"


@app.command(rich_help_panel=LOOK, epilog=format_examples("config stack.yml"))
def config(spec: Spec, *, parameter: Parameters = None, json: Json = False) -> None:
    """Print the config.json that a build would write; --json changes nothing."""
    del json
    from stacker.compose import load

    stack = load(spec, parameters=parse_assignments(parameter))
    print_warnings(stack.problems)
    raise_problems(stack.problems)
    print_json(dict(stack.config))


@app.command(rich_help_panel=LOOK, epilog=format_examples("plan stack.yml", "plan stack.yml --out /data/out --json"))
def plan(
    spec: Spec,
    *,
    parameter: Parameters = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The output folder; its filesystem decides the layout of the shards.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what a build would write: tensors, shards, bytes, peak memory, unused tensors; no weights are read."""
    from stacker.compose import load, plan_for
    from stacker.core.plan.plan_json import plan_to_json
    from stacker.view.stack.plan_report import draw_plan

    stack = load(spec, parameters=parse_assignments(parameter))
    planned = plan_for(stack, out)
    if json:
        print_json(plan_to_json(planned))
        return
    print_warnings(stack.problems)
    make_console().print(draw_plan(planned))
