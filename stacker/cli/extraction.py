"""The command extract-lora, which turns the difference of two checkpoints into an adapter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import BUILD, Json, app, format_examples
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_json
from stacker.cli.terminal.progress import show_progress

Tuned = Annotated[
    str,
    typer.Argument(metavar="TUNED", help="A fine-tune: a folder or hub id.", autocompletion=complete_donor),
]
Base = Annotated[
    str, typer.Argument(metavar="BASE", help="The checkpoint that it was tuned from.", autocompletion=complete_donor)
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write the adapter to.", file_okay=False)]
Rank = Annotated[int | None, typer.Option(metavar="N", help="The rank of the change of every matrix.")]
Energy = Annotated[
    float | None,
    typer.Option(metavar="E", help="Keep this share of each change's squared norm, with the smallest ranks that do."),
]


@app.command(
    "extract-lora",
    rich_help_panel=BUILD,
    epilog=format_examples(
        "extract-lora ./tuned ./base ./lora --rank 16", "extract-lora org/tuned org/base ./lora --energy 0.95"
    ),
)
def extract_lora(
    tuned: Tuned, base: Base, out: Out, *, rank: Rank = None, energy: Energy = None, json: Json = False
) -> None:
    """Turn what distinguishes a fine-tune from its base into a LoRA, and report what the LoRA leaves out."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more threads wait for each other between the small matrices
    from stacker.extraction import extract_lora as extract
    from stacker.view.tables.extraction import draw_extraction, extraction_json

    with show_progress("extracting", quiet=json) as (watch,):
        found = extract(tuned, base, out, rank=rank, energy=energy, watch=watch)
    if json:
        print_json(extraction_json(found))
    else:
        make_console().print(draw_extraction(found))
