"""Commands about a donor and the machine, which read no weights: inspect and doctor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import LOOK, Json, app, format_examples
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.counts import show_counts
from stacker.cli.terminal.printing import make_console, print_json
from stacker.errors import Mark, Problem, StackerError, select_errors

if TYPE_CHECKING:
    from stacker.core.study.build_time import Speeds
    from stacker.core.values.donor import Donor

DonorName = Annotated[
    str,
    typer.Argument(
        metavar="DONOR", help="A folder, or a hub id: owner/name or owner/name@revision.", autocompletion=complete_donor
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder that stacks will be written to.", file_okay=False)
]

Measure = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Build small stacks in FOLDER to measure how fast this machine copies and blends, for the time that "
        "preview says.",
    ),
]


@app.command(
    rich_help_panel=LOOK,
    epilog=format_examples("inspect ./donor", "inspect Qwen/Qwen3-0.6B", "inspect ./donor --json"),
)
def inspect(donor: DonorName, *, json: Json = False) -> None:
    """Show a donor: family, depth, kinds of layers, tensors by role, and which simple stacks of it would work."""
    from stacker.view.tables.donor import donor_json, draw_donor

    found = read_source(donor, "inspect")
    trials = dict(_try_stacks(found))
    if json:
        print_json(donor_json(found, trials))
    else:
        make_console().print(draw_donor(found, trials))


@app.command(rich_help_panel=LOOK, epilog=format_examples("doctor", "doctor /data/stacks --measure", "doctor --json"))
def doctor(folder: Folder = Path(), *, measure: Measure = False, json: Json = False) -> None:
    """Show what this machine offers: versions, memory, GPU, and the ways of copying that work in FOLDER."""
    from stacker.io.machine import inspect_machine
    from stacker.io.speeds import read_speeds
    from stacker.view.tables.machine import draw_machine, machine_json

    machine = inspect_machine(folder)
    speeds = _measure(folder, quiet=json) if measure else read_speeds()
    if json:
        print_json(machine_json(machine, speeds))
    else:
        make_console().print(draw_machine(machine, speeds))


def _measure(folder: Path, *, quiet: bool) -> Speeds:
    from stacker.calibration import measure_speeds

    with show_counts(quiet=quiet) as watch_for:
        return measure_speeds(folder, watch_for("measuring"))


def read_source(source: str, command: str) -> Donor:
    """Read the donor that an argument of `command` names; the argument is also the donor's name."""
    from stacker.io.donors.reader import read_donor
    from stacker.spec.language.stack_spec import Dialect
    from stacker.spec.language.value_grammar import parse_source

    return read_donor(parse_source(source, source, Mark(command)), Path.cwd(), Dialect.NATIVE)


def _try_stacks(donor: Donor) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    """Plan a few simple stacks of the donor; yields the description and the errors of each stack.

    The errors are () if the stack would work.
    """
    from stacker.compose import load_text

    named = replace(donor, name="donor")
    middle = donor.depth // 2
    stacks = {
        "as it is": ["donor"],
        "a layer twice": [f"donor[:{middle + 1}]", f"donor[{middle}:]"],
        "a layer left out": [f"donor[:{middle}]", f"donor[{middle + 1}:]"],
        "the whole twice": ["donor", "donor"],
        "blended": ["{blend: [donor, donor], op: linear}"],
    }
    for description, slices in stacks.items():
        text = "stacker: 1\ndonors: {donor: ./donor}\nstack:\n" + "".join(f"  - {each}\n" for each in slices)
        try:
            stack = load_text(text.encode(), Path("inspect"), read=lambda *_: named)
            yield description, select_errors(stack.problems)
        except StackerError as error:
            yield description, error.problems
