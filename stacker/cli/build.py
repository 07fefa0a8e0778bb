"""The commands that write or read weights: build and verify."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import BUILD, For, Json, Parameters, Spec, app, format_examples
from stacker.cli.executors import Address, CacheDir, CacheSize, Writer, choose_executor, set_cache
from stacker.cli.parameters import parse_assignments
from stacker.cli.parts import write_part
from stacker.cli.terminal.printing import make_console, print_json, print_problems, print_warnings, problems_json
from stacker.cli.terminal.progress import show_progress
from stacker.cli.terminal.streams import drop_output, keep_output_clean
from stacker.core.plan.shard_layout import LayoutKind
from stacker.errors import Mark, Problem, SpecError, StorageError, raise_problems, select_errors, select_warnings

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.core.side_files.selection import SideFiles
    from stacker.run.building import BuildOptions, Built

Out = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="The folder to write, the file if the donors are GGUF files, or an address such as s3://bucket/folder; "
        "it appears only once it is complete.",
    ),
]
Written = Annotated[Path, typer.Argument(metavar="OUT", help="A folder or GGUF file written by stacker build.")]
Force = Annotated[
    bool,
    typer.Option("--force", "-f", help="Replace the checkpoint at OUT, once the new one is complete."),
]
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
    str | None,
    typer.Option(
        "--shard-size",
        "--split-size",
        metavar="SIZE",
        help="Largest size of a shard, for example 5GB; of a part, if OUT is a GGUF file.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="The device that computes blends: cpu, cuda, cuda:1 or auto.")
]
Moved = Annotated[
    list[str] | None,
    typer.Option("--donor", metavar="NAME=FOLDER", help="Where a moved donor is now. May be repeated."),
]
Digests = Annotated[
    bool,
    typer.Option("--digests", help="Read the output once more, and store the SHA-256 of each shard in the lock file."),
]
WriteDigests = Annotated[
    bool, typer.Option("--write-digests", help="If nothing is wrong, store the SHA-256 of each shard in the lock file.")
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read the weights of donors on the hub by ranges as they are needed, and store no file of them.",
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--shards",
        metavar="K/N",
        help="Write only the K-th of N parts of the shards, into OUT.parts; stacker commit puts the parts together.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only problems.")]


@app.command(
    rich_help_panel=BUILD,
    epilog=format_examples(
        "build stack.yml ./out",
        "build stack.yml ./out --force --max-memory 2GB",
        "build stack.yml ./out --for llama.cpp",
        "build stack.yml ./out --stream",
        "build stack.yml ./out -p cut=12",
        "build stack.yml ./out --shards 3/8",
        "build stack.yml ./out --executor ray --address 10.0.0.1:6379",
    ),
)
def build(
    spec: Spec,
    out: Out,
    *,
    parameter: Parameters = None,
    force: Force = False,
    restart: Restart = False,
    workers: Workers = None,
    max_memory: Memory = None,
    layout: Shards = LayoutKind.AUTO,
    shard_size: Size = None,
    device: Device = "cpu",
    clients: For = None,
    digests: Digests = False,
    stream: Stream = False,
    shards: Part = None,
    executor: Writer = "local",
    address: Address = None,
    cache_dir: CacheDir = None,
    cache_size: CacheSize = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the checkpoint that SPEC describes; an interrupted build is resumed by the same command."""
    from stacker.compose import load
    from stacker.io.donors.streaming import DonorAccess
    from stacker.run.building import BuildOptions
    from stacker.run.executors import EXECUTORS

    memory = _parse_size(max_memory, "--max-memory")
    stack = load(spec, parameters=parse_assignments(parameter)).for_clients(clients or ())
    size = _parse_size(shard_size, "--shard-size")
    stack = stack.in_shards(size) if size else stack
    print_warnings((*stack.problems, *(() if quiet else _find_doubts(stack))))
    access = DonorAccess.STREAM if stream else DonorAccess.FETCH
    where = choose_executor(executor, address, EXECUTORS)
    set_cache(cache_dir, cache_size, stream=stream)
    options = BuildOptions(force, restart, workers, memory, layout, device, digests, where, access)
    write = partial(write_part, stack, Path(out), shards) if shards else partial(_write_whole, stack, out)
    write(options, quiet=quiet, json=json)


def _parse_size(text: str | None, option: str) -> int | None:
    from stacker.spec.language.value_grammar import parse_size

    return parse_size(text, Mark(option)) if text else None


def _find_doubts(stack: Stack) -> Sequence[Problem]:
    """The warnings about a stack without errors."""
    return () if select_errors(stack.problems) else select_warnings(stack.lints())


def _write_whole(stack: Stack, out: str, options: BuildOptions, *, quiet: bool, json: bool) -> None:
    from stacker.compose import build as make
    from stacker.run.building import Listener
    from stacker.spec.language.value_grammar import is_address
    from stacker.upload import build_to_storage

    progress = show_progress("building", "fetching", "checking", quiet=quiet or json)
    with progress as (writing, fetching, checking), keep_output_clean():
        listener = Listener(writing, fetching, checking, print_warnings)
        if is_address(out):
            built = build_to_storage(stack, out, options, listener)
        else:
            built = make(stack, Path(out), options, listener)
    if json:
        _print_json(built, stack.side_files, out)
    elif not quiet:
        _print_text(built, stack, out)


def _print_text(built: Built, stack: Stack, out: str) -> None:
    """Print what was written, which files of the donors were not, and what can be done with the output."""
    from stacker.spec.language.value_grammar import is_address
    from stacker.view.stack.next_steps import list_next_steps, next_steps_text
    from stacker.view.stack.plan_report import report_text
    from stacker.view.tables.side_files import left_behind_text

    console = make_console(stderr=True)
    console.print(report_text(built.plan, built.report, out))
    left = left_behind_text(stack.side_files)
    if left:
        console.print(f"  {left}", soft_wrap=True)
    if not is_address(out):
        steps = list_next_steps(Path(out), stack.side_files, stack.verdicts())
        console.print(next_steps_text(steps), soft_wrap=True)


def _print_json(built: Built, files: SideFiles, out: str) -> None:
    """Print the report of a build as JSON; an error says that the output is complete nevertheless."""
    from stacker.view.stack.plan_report import report_json
    from stacker.view.tables.side_files import side_files_json

    try:
        print_json(report_json(built.plan, built.report, out) | {"files": side_files_json(files)})
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        message = f"the output is complete, but its report cannot be written to standard output: {error.strerror}"
        print_problems(StorageError.of(message, "", Mark(str(out))).problems)
        raise typer.Exit(StorageError.exit_code) from error


@app.command(rich_help_panel=BUILD, epilog=format_examples("verify ./out", "verify ./out --donor xwin=/data/xwin"))
def verify(
    out: Written,
    *,
    donor: Moved = None,
    stream: Stream = False,
    write_digests: WriteDigests = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare a checkpoint written by stacker with its donors, byte for byte; blends are computed again.

    Where the donors are not at hand, it is compared with the digests in its lock file, if there are any.
    """
    from stacker.checkpoint import verify as compare
    from stacker.checkpoint import write_digests as write
    from stacker.io.donors.streaming import DonorAccess

    with show_progress("verifying", "computing digests", quiet=quiet or json) as (watch, digesting):
        access = DonorAccess.STREAM if stream else DonorAccess.FETCH
        checked = compare(out, _parse_folders(donor or []), watch, access)
        raise_problems(checked.problems)
        if write_digests:
            write(out, digesting)
    print_warnings(checked.problems)
    if json:
        print_json(
            {
                "ok": True,
                "tensors": checked.tensors,
                "bytes": checked.nbytes,
                "problems": problems_json(checked.problems),
            }
        )
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
