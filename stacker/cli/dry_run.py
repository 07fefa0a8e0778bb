"""Commands that only look: check, config, plan. None of them reads a weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import LOOK, Json, Spec, app, format_examples
from stacker.cli.terminal.printing import find_exit_code, make_console, print_json, print_warnings, problems_json
from stacker.errors import Severity, raise_problems, select_errors


@app.command(rich_help_panel=LOOK, epilog=format_examples("check stack.yml", "check stack.yml --json"))
def check(spec: Spec, *, json: Json = False) -> None:
    """Say everything that is wrong with a spec, or that nothing is."""
    from stacker.compose import load
    from stacker.core.checks.lints import lint

    stack = load(spec)
    wrong = select_errors(stack.problems)
    lints = () if wrong else lint(stack.graph, stack.donors, stack.spec)
    if json:
        told = {"problems": problems_json(stack.problems), "lints": problems_json(lints)}
        print_json({"ok": not wrong} | told)
        raise typer.Exit(find_exit_code(wrong))
    doubts = [problem for problem in lints if problem.severity is Severity.WARNING]
    print_warnings((*stack.problems, *doubts))
    raise_problems(wrong)
    typer.echo(f"{spec}: {len(stack.graph.layers)} layers, {_verdict(len(doubts))}")


def _verdict(doubts: int) -> str:
    return f"nothing wrong, {doubts} thing{'s' if doubts > 1 else ''} doubtful" if doubts else "nothing wrong"


@app.command(rich_help_panel=LOOK, epilog=format_examples("config stack.yml"))
def config(spec: Spec) -> None:
    """Print the config.json that the stack would get."""
    from stacker.compose import load

    stack = load(spec)
    print_warnings(stack.problems)
    raise_problems(stack.problems)
    print_json(dict(stack.config))


@app.command(rich_help_panel=LOOK, epilog=format_examples("plan stack.yml", "plan stack.yml --out /data/out --json"))
def plan(
    spec: Spec,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Plan for this folder's filesystem.")] = None,
    json: Json = False,
) -> None:
    """Say what a build would write, tensor by tensor, before any weight is read."""
    from stacker.compose import load, plan_for
    from stacker.core.plan.plan_json import plan_to_json
    from stacker.view.stack.plan_report import draw_plan

    stack = load(spec)
    made = plan_for(stack, out)
    if json:
        print_json(plan_to_json(made))
        return
    print_warnings(stack.problems)
    make_console().print(draw_plan(made))
