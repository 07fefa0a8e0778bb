"""The commands that write or read weights: build and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import BUILD, For, Json, Spec, app, format_examples
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.cli.terminal.progress import show_progress
from stacker.core.plan.plan import LayoutKind
from stacker.errors import Mark, SpecError, raise_problems

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it appears only once it is complete.")]
Written = Annotated[Path, typer.Argument(metavar="OUT", help="A folder written by stacker build.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace an existing OUT once the new one is complete.")]
Restart = Annotated[bool, typer.Option("--restart", help="Start over instead of resuming an interrupted build.")]
Workers = Annotated[
    int | None, typer.Option("--workers", "-j", min=1, max=256, help="Number of threads; all cores by default.")
]
Memory = Annotated[
    str | None, typer.Option("--max-memory", metavar="SIZE", help="Limit of resident memory, for example 1GB.")
]
Shards = Annotated[
    LayoutKind,
    typer.Option(
        "--layout",
        help="clone: align tensors so that the filesystem can share blocks with the donors; plain: do not "
        "align; auto: clone if the filesystem of OUT supports it.",
    ),
]
Size = Annotated[
    str | None, typer.Option("--shard-size", metavar="SIZE", help="Largest size of a shard, for example 5GB.")
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="The device that computes blends: cpu, cuda, cuda:1 or auto.")
]
Moved = Annotated[
    list[str] | None,
    typer.Option("--donor", metavar="NAME=FOLDER", help="Where a moved donor is now. May be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only problems.")]


@app.command(
    rich_help_panel=BUILD,
    epilog=format_examples(
        "build stack.yml ./out",
        "build stack.yml ./out --force --max-memory 2GB",
        "build stack.yml ./out --for llama.cpp",
    ),
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
    clients: For = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the checkpoint that SPEC describes; an interrupted build is resumed by the same command."""
    from stacker.compose import BuildOptions, load
    from stacker.compose import build as make
    from stacker.spec.language.value_grammar import parse_size
    from stacker.view.stack.plan_report import report_json, report_text
    from stacker.view.tables.side_files import left_behind_text, side_files_json

    memory = parse_size(max_memory, Mark("--max-memory")) if max_memory else None
    stack = load(spec).for_clients(clients or ())
    if shard_size:
        stack = stack.in_shards(parse_size(shard_size, Mark("--shard-size")))
    print_warnings(stack.problems)
    options = BuildOptions(force, restart, workers, memory, layout, device)
    with show_progress("fetching", "building", quiet=quiet or json) as (fetching, watch):
        built = make(stack, out, options, watch, fetching)
    if json:
        print_json(report_json(built.plan, built.report, out) | {"files": side_files_json(stack.side_files)})
    elif not quiet:
        console = make_console(stderr=True)
        console.print(report_text(built.plan, built.report, out))
        left = left_behind_text(stack.side_files)
        if left:
            console.print(f"  {left}", soft_wrap=True)


@app.command(rich_help_panel=BUILD, epilog=format_examples("verify ./out", "verify ./out --donor xwin=/data/xwin"))
def verify(out: Written, *, donor: Moved = None, quiet: Quiet = False, json: Json = False) -> None:
    """Compare a checkpoint written by stacker with its donors, byte for byte; blends are computed again."""
    from stacker.checkpoint import verify as compare

    with show_progress("verifying", quiet=quiet or json) as (watch,):
        checked = compare(out, _parse_folders(donor or []), watch)
    raise_problems(checked.problems)
    if json:
        print_json({"ok": True, "tensors": checked.tensors, "bytes": checked.nbytes, "problems": []})
    elif not quiet:
        text = f"{out}: {checked.tensors} tensors as planned, {checked.nbytes:,} bytes compared"
        make_console(stderr=True).print(text, soft_wrap=True)


def _parse_folders(words: list[str]) -> dict[str, str]:
    """Parse `name=folder` arguments into a mapping from donor name to folder.

    Raises SpecError for an argument that lacks the name, the equals sign or the folder.
    """
    pairs = [word.partition("=") for word in words]
    for word, (name, _, folder) in zip(words, pairs, strict=True):
        if not name or not folder:
            raise SpecError.of(f"'{word}' is not NAME=FOLDER", "write --donor NAME=FOLDER")
    return {name: folder for name, _, folder in pairs}
