"""Commands about donors by themselves: inspect one, hold two against each other. No weight is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stacker.cli.app import LOOK, Json, app, examples
from stacker.cli.completion import complete_donor
from stacker.cli.problems import print_json
from stacker.errors import Mark, Problem, StackerError, errors_in

if TYPE_CHECKING:
    from stacker.core.values.donor import Donor

DonorName = Annotated[
    str, typer.Argument(metavar="DONOR", help="A folder or a hub id, id@revision.", autocompletion=complete_donor)
]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="Another one.", autocompletion=complete_donor)]


@app.command(
    rich_help_panel=LOOK,
    epilog=examples("inspect ./donor", "inspect Qwen/Qwen3-0.6B", "inspect ./donor --json"),
)
def inspect(donor: DonorName, *, json: Json = False) -> None:
    """Show a donor: family, depth, kinds of layers, tensors by role, and what would stop it from being stacked."""
    from stacker.view.tables.donor import donor_json, donor_table

    found = _read(donor, "inspect")
    tried = dict(_trials(found))
    if json:
        print_json(donor_json(found, tried))
    else:
        Console(highlight=False).print(donor_table(found, tried))


@app.command(rich_help_panel=LOOK, epilog=examples("diff ./donor ./stack", "diff org/name@v1 org/name@v2 --json"))
def diff(donor: DonorName, other: Other, *, json: Json = False) -> None:
    """Show where two donors or stacks differ: entries of their configs, tensors by name, shape and type."""
    from stacker.core.study.difference import difference
    from stacker.view.tables.difference import difference_json, difference_table

    one, two = _read(donor, "diff"), _read(other, "diff")
    found = difference(one, two)
    if json:
        print_json(difference_json(found))
    else:
        Console(highlight=False).print(difference_table(one, two, found))


def _read(source: str, command: str) -> Donor:
    from stacker.io.donors.reading import read_donor
    from stacker.spec.language.stack_spec import Dialect
    from stacker.spec.language.value_grammar import parse_source

    return read_donor(parse_source(source, source, Mark(command)), Path.cwd(), Dialect.NATIVE)


def _trials(donor: Donor) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    """Small changes of order, each with what stands in its way."""
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
    for words, slices in stacks.items():
        text = "stacker: 1\ndonors: {donor: ./donor}\nstack:\n" + "".join(f"  - {each}\n" for each in slices)
        try:
            stack = load_text(text.encode(), Path("inspect"), read=lambda *_: named)
            yield words, errors_in(stack.problems)
        except StackerError as error:
            yield words, error.problems
