"""Asks on a terminal for the arguments of `stacker new`: the recipe, donors, numbers and output file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from stacker.cli.new_specs import DEPTH, Request, read_depth
from stacker.cli.recipes import read_recipe
from stacker.cli.terminal.printing import make_console
from stacker.errors import StackerError, did_you_mean
from stacker.io.files.spec_files import find_recipe, list_recipes
from stacker.spec.generators import GENERATORS, Generator
from stacker.spec.language.value_grammar import make_donor_name
from stacker.spec.parser import parse_spec


def ask_request() -> Request:
    """Ask the user on the terminal for the arguments of `stacker new`: recipe, donors, numbers and output file.

    Questions are printed on standard error. The first question is repeated until the answer names a recipe or
    generator that stacker knows.
    """
    console = make_console(stderr=True)
    for known in GENERATORS.values():
        console.print(Text.assemble((f"{known.name:<11}", "bold"), known.summary))
    console.print(Text(f"or a published recipe: {', '.join(list_recipes())}", "dim"))
    recipe = _ask_recipe(console)
    generator = GENERATORS.get(recipe)
    donors = _ask_donors(generator) if generator else _ask_replacements(recipe)
    numbers = _ask_numbers(generator, donors, console) if generator else {}
    file = typer.prompt("Write it to", default=f"{recipe}.yml", err=True)
    return Request(recipe, donors, numbers, file=Path(file))


def _ask_recipe(console: Console) -> str:
    known = (*GENERATORS, *list_recipes())
    while (answer := str(typer.prompt("Recipe", default="passes", err=True)).strip()) not in known:
        console.print(f"there is no recipe '{answer}'; {did_you_mean(answer, known)}", style="yellow")
    return answer


def _ask_donors(generator: Generator) -> dict[str, str]:
    donors: dict[str, str] = {}
    fewest, most = generator.donors
    while len(donors) < fewest:
        source = str(typer.prompt(f"Donor {len(donors) + 1} (a folder or a hub id)", err=True)).strip()
        donors[make_donor_name(source, set(donors))] = source
    while most is None and (source := str(typer.prompt("Another (enter for none)", default="", err=True)).strip()):
        donors[make_donor_name(source, set(donors))] = source
    return donors


def _ask_replacements(recipe: str) -> dict[str, str]:
    """Ask for the folder or hub id of each donor of a recipe; the default is the recipe's folder or hub id.

    Returns only the answers that differ from the default, by donor name.
    """
    own = parse_spec(read_recipe(recipe).text, str(find_recipe(recipe))).donors
    sources = {donor.name: str(donor.source) for donor in own if donor.stack is None}
    answers = {name: str(typer.prompt(f"Donor {name}", default=source, err=True)) for name, source in sources.items()}
    return {name: answer for name, answer in answers.items() if answer != sources[name]}


def _ask_numbers(generator: Generator, donors: Mapping[str, str], console: Console) -> dict[str, int]:
    numbers: dict[str, int] = {}
    try:
        depth = read_depth(Request(generator.name, donors, {}))
        console.print(f"{depth} layers", style="dim")
    except StackerError as error:
        console.print(str(error), style="yellow")
        depth = numbers[DEPTH] = typer.prompt("How many layers do they have", type=int, err=True)
    for number in generator.numbers:
        default = number.default(depth, numbers)
        numbers[number.name] = typer.prompt(f"{number.name}: {number.meaning}", default=default, type=int, err=True)
    return numbers
