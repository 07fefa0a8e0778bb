"""The command `doctor`: what this machine can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stacker.cli.app import LOOK, Json, app, examples
from stacker.cli.problems import print_json

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where stacks are to be written.", file_okay=False)]


@app.command(rich_help_panel=LOOK, epilog=examples("doctor", "doctor /data/stacks --json"))
def doctor(folder: Folder = Path(), *, json: Json = False) -> None:
    """Say what this machine can do: versions, memory, GPU, and which ways of copying work in FOLDER (tried out)."""
    from stacker.io.machine import inspect_machine
    from stacker.view.tables.machine import machine_json, machine_table

    machine = inspect_machine(folder)
    if json:
        print_json(machine_json(machine))
    else:
        Console(highlight=False).print(machine_table(machine))
