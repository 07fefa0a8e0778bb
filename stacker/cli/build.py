"""Commands that write or compare bytes: build and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stacker.cli.app import BUILD, Json, Spec, app
from stacker.cli.problems import print_json, show_problems
from stacker.cli.progress import watching
from stacker.errors import Severity

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.command(rich_help_panel=BUILD)
def build(
    spec: Spec,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make; it appears whole or not at all.")],
    *,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace OUT, once the new one is complete.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Drop what an interrupted run left.")] = False,
    workers: Annotated[int, typer.Option("--workers", "-j", min=1, max=64, help="Threads.")] = 2,
    max_memory: Annotated[str | None, typer.Option("--max-memory", help="Most resident memory, like 1GB.")] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="auto, plain, or clone: shards whose blocks can be shared.")
    ] = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the checkpoint that SPEC describes; an interrupted run goes on where it stopped."""
    from stacker.compose import BuildOptions, load
    from stacker.compose import build as make
    from stacker.view.report import report_json, report_text

    stack = load(spec)
    show_problems([p for p in stack.problems if p.severity is not Severity.ERROR], Console(stderr=True))
    options = BuildOptions(force=force, restart=restart, workers=workers, max_memory=max_memory, layout=layout)
    with watching("building", quiet=quiet or json) as watch:
        built = make(stack, out, options, watch)
    if json:
        print_json(report_json(built.plan, built.report, out))
    elif not quiet:
        Console(stderr=True, highlight=False).print(report_text(built.plan, built.report, out))


@app.command(rich_help_panel=BUILD)
def verify(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that stacker wrote.")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare a checkpoint with its donors, byte for byte; blends are computed again."""
    from stacker.cli.problems import problem_json
    from stacker.compose import verify as compare

    with watching("verifying", quiet=quiet or json) as watch:
        checked = compare(out, watch)
    if json:
        print_json({"ok": not checked.problems, "problems": [problem_json(each) for each in checked.problems]})
        raise typer.Exit(7 if checked.problems else 0)
    checked.raise_if_damaged()
    if not quiet:
        typer.echo(f"{out}: {checked.tensors} tensors as planned, {checked.nbytes:,} bytes compared", err=True)
