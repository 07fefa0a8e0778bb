"""Building in parts on several machines (`build --shards K/N`), and the command commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import BUILD, Json, app, format_examples
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.cli.terminal.progress import show_progress
from stacker.errors import Mark

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.run.building import BuildOptions

_Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, as it was given to stacker build.")]
_Force = Annotated[bool, typer.Option("--force", "-f", help="Replace the checkpoint at OUT.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only problems.")]


def write_part(stack: Stack, out: Path, text: str, options: BuildOptions, *, quiet: bool, json: bool) -> None:
    """Write the part of a stack's shards that `text` (K/N) names, and print what was written."""
    from stacker.core.plan.parts import parse_part
    from stacker.parts import build_part
    from stacker.run.building import Listener
    from stacker.view.stack.part_report import part_json, part_text

    part = parse_part(text, Mark("--shards"))
    with show_progress("building", "fetching", "checking", quiet=quiet or json) as (writing, fetching, checking):
        built = build_part(stack, out, part, options, Listener(writing, fetching, checking, print_warnings))
    folder = out.with_name(f"{out.name}.parts")
    if json:
        print_json(part_json(str(part), built.plan, built.report, folder))
    elif not quiet:
        text = part_text(str(part), built.plan, built.report, folder)
        make_console(stderr=True).print(f"{text}\n  when all parts are written: stacker commit {out}", soft_wrap=True)


@app.command(rich_help_panel=BUILD, epilog=format_examples("commit ./out"))
def commit(out: _Out, *, force: _Force = False, quiet: _Quiet = False, json: Json = False) -> None:
    """Check that `build --shards` has written every part of OUT, and put them together; needs no donors."""
    from stacker.parts import commit_parts
    from stacker.run.building import Listener

    plan = commit_parts(out, Listener(warn=print_warnings), force=force)
    if json:
        print_json({"ok": True, "out": str(out), "plan": plan.id, "shards": [shard.name for shard in plan.shards]})
    elif not quiet:
        shards = f"{len(plan.shards)} shard{'s'[: len(plan.shards) > 1]}"
        make_console(stderr=True).print(f"{out}: {shards}, {plan.total_size:,} bytes of tensors", soft_wrap=True)
