"""Commands that only look: check, preview, config, plan. None of them reads a weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stacker.cli.app import LOOK, Json, Spec, app, examples
from stacker.cli.problems import print_json, problem_json, show_problems
from stacker.errors import Problem, Severity, StackerError, errors_in, raise_problems


@app.command(rich_help_panel=LOOK, epilog=examples("check stack.yml", "check stack.yml --json"))
def check(spec: Spec, *, json: Json = False) -> None:
    """Say everything that is wrong with a spec, or that nothing is."""
    from stacker.compose import load

    stack = load(spec)
    wrong = errors_in(stack.problems)
    if json:
        print_json({"ok": not wrong, "problems": [problem_json(problem) for problem in stack.problems]})
        raise typer.Exit(_exit_code(wrong))
    _warn(stack.problems)
    raise_problems(stack.problems)
    typer.echo(f"{spec}: {len(stack.graph.layers)} layers, nothing wrong")


def _exit_code(wrong: tuple[Problem, ...]) -> int:
    try:
        raise_problems(wrong)
    except StackerError as error:
        return error.exit_code
    return 0


def _warn(problems: tuple[Problem, ...]) -> None:
    show_problems([p for p in problems if p.severity is not Severity.ERROR], Console(stderr=True))


@app.command(rich_help_panel=LOOK, epilog=examples("preview stack.yml", "preview stack.yml --json"))
def preview(spec: Spec, *, json: Json = False) -> None:
    """Draw the stack, what it costs and where it is fragile; no weights needed."""
    from stacker.compose import load
    from stacker.view.preview import preview as draw
    from stacker.view.preview_json import preview_json

    stack = load(spec)
    wrong = errors_in(stack.problems)
    scene = stack.scene()
    if json:
        print_json(preview_json(scene))
    else:
        console = Console(highlight=False)
        console.print(draw(scene))
        _warn(stack.problems)
        raise_problems(wrong)
    raise typer.Exit(_exit_code(wrong))


@app.command(rich_help_panel=LOOK, epilog=examples("config stack.yml"))
def config(spec: Spec) -> None:
    """Print the config.json that the stack would get."""
    from stacker.compose import load

    stack = load(spec)
    _warn(stack.problems)
    raise_problems(stack.problems)
    print_json(dict(stack.config))


@app.command(rich_help_panel=LOOK, epilog=examples("plan stack.yml", "plan stack.yml --out /data/out --json"))
def plan(
    spec: Spec,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Plan for this folder's filesystem.")] = None,
    json: Json = False,
) -> None:
    """Say what a build would write, tensor by tensor, before any weight is read."""
    from stacker.compose import load, plan_for
    from stacker.core.plan_json import plan_to_json
    from stacker.view.plan import plan_table

    stack = load(spec)
    made = plan_for(stack, out)
    if json:
        print_json(plan_to_json(made))
        return
    _warn(stack.problems)
    console = Console(highlight=False)
    console.print(plan_table(made))
