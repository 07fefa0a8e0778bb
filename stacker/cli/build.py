"""Commands that write or compare bytes: build and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stacker.cli.app import BUILD, Json, Spec, app, examples
from stacker.cli.problems import print_json, show_problems
from stacker.cli.progress import watching
from stacker.core.plan.plan import LayoutKind
from stacker.errors import Mark, Severity, SpecError, raise_problems

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make; it appears whole or not at all.")]
Written = Annotated[Path, typer.Argument(metavar="OUT", help="A folder that stacker wrote.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace OUT, once the new one is complete.")]
Restart = Annotated[bool, typer.Option("--restart", help="Drop what an interrupted run left.")]
Workers = Annotated[int | None, typer.Option("--workers", "-j", min=1, max=256, help="Threads (all cores).")]
Memory = Annotated[str | None, typer.Option("--max-memory", metavar="SIZE", help="The most resident memory: 1GB.")]
Shards = Annotated[LayoutKind, typer.Option("--layout", help="How shards are laid out; clone: to share blocks.")]
Size = Annotated[str | None, typer.Option("--shard-size", metavar="SIZE", help="The most bytes of a file: 5GB.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Where to compute blends: cpu, cuda, cuda:1.")]
Moved = Annotated[
    list[str] | None, typer.Option("--donor", metavar="NAME=FOLDER", help="Where a donor is now; may be repeated.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only problems.")]


@app.command(
    rich_help_panel=BUILD, epilog=examples("build stack.yml ./out", "build stack.yml ./out --force --max-memory 2GB")
)
def build(
    spec: Spec,
    out: Out,
    *,
    force: Force = False,
    restart: Restart = False,
    workers: Workers = None,
    max_memory: Memory = None,
    layout: Shards = LayoutKind.AUTO,
    shard_size: Size = None,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the checkpoint that SPEC describes; an interrupted run goes on where it stopped."""
    from stacker.compose import BuildOptions, load
    from stacker.compose import build as make
    from stacker.spec.language.value_grammar import parse_size
    from stacker.view.stack.plan import report_json, report_text

    memory = parse_size(max_memory, Mark("--max-memory")) if max_memory else None
    stack = load(spec)
    if shard_size:
        stack = stack.in_shards(parse_size(shard_size, Mark("--shard-size")))
    show_problems([p for p in stack.problems if p.severity is not Severity.ERROR], Console(stderr=True))
    options = BuildOptions(force, restart, workers, memory, layout, device)
    with watching("fetching", "building", quiet=quiet or json) as (fetching, watch):
        built = make(stack, out, options, watch, fetching)
    if json:
        print_json(report_json(built.plan, built.report, out))
    elif not quiet:
        Console(stderr=True, highlight=False).print(report_text(built.plan, built.report, out))


@app.command(rich_help_panel=BUILD, epilog=examples("verify ./out", "verify ./out --donor xwin=/data/xwin"))
def verify(out: Written, *, donor: Moved = None, quiet: Quiet = False, json: Json = False) -> None:
    """Compare a checkpoint with its donors, byte for byte; blends are computed again."""
    from stacker.checkpoint import verify as compare

    with watching("verifying", quiet=quiet or json) as (watch,):
        checked = compare(out, _places(donor or []), watch)
    raise_problems(checked.problems)
    if json:
        print_json({"ok": True, "tensors": checked.tensors, "bytes": checked.nbytes, "problems": []})
    elif not quiet:
        typer.echo(f"{out}: {checked.tensors} tensors as planned, {checked.nbytes:,} bytes compared", err=True)


def _places(words: list[str]) -> dict[str, str]:
    """Folders of donors by name, from `name=folder`."""
    pairs = [word.partition("=") for word in words]
    for word, (name, _, folder) in zip(words, pairs, strict=True):
        if not name or not folder:
            raise SpecError.of(f"'{word}' does not say where a donor is", "write --donor NAME=FOLDER")
    return {name: folder for name, _, folder in pairs}
