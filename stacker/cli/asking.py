"""What `stacker new` asks on a terminal: a recipe, its donors, its numbers, a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from stacker.cli.fitting import DEPTH, Order, depth_of
from stacker.cli.recipes import recipe_of
from stacker.errors import StackerError, did_you_mean
from stacker.io.files.spec_files import recipe_names, recipe_path
from stacker.spec.generators import GENERATORS, Generator
from stacker.spec.language.value_grammar import make_donor_name
from stacker.spec.parser import parse_spec


def ask() -> Order:
    """The order of somebody who answers; what cannot be is asked again. Everything shown goes to standard error."""
    console = Console(stderr=True, highlight=False)
    for each in GENERATORS.values():
        console.print(Text.assemble((f"{each.name:<11}", "bold"), each.summary))
    console.print(Text(f"or a published one: {', '.join(recipe_names())}", "dim"))
    recipe = _recipe(console)
    generator = GENERATORS.get(recipe)
    donors = _donors(generator) if generator else _other_donors(recipe)
    numbers = _numbers(generator, donors, console) if generator else {}
    file = typer.prompt("Write it to", default=f"{recipe}.yml", err=True)
    return Order(recipe, donors, numbers, file=Path(file))


def _recipe(console: Console) -> str:
    known = (*GENERATORS, *recipe_names())
    while (answer := str(typer.prompt("Recipe", default="passes", err=True)).strip()) not in known:
        console.print(f"there is no recipe '{answer}'; {did_you_mean(answer, known)}", style="yellow")
    return answer


def _donors(generator: Generator) -> dict[str, str]:
    found: dict[str, str] = {}
    fewest, most = generator.donors
    while len(found) < fewest:
        source = str(typer.prompt(f"Donor {len(found) + 1} (a folder or a hub id)", err=True)).strip()
        found[make_donor_name(source, set(found))] = source
    while most is None and (source := str(typer.prompt("Another (enter for none)", default="", err=True)).strip()):
        found[make_donor_name(source, set(found))] = source
    return found


def _other_donors(recipe: str) -> dict[str, str]:
    """Donors in place of the recipe's own; those that are kept are not named."""
    own = parse_spec(recipe_of(recipe).text, str(recipe_path(recipe))).donors
    sources = {donor.name: str(donor.source) for donor in own if donor.stack is None}
    answers = {name: str(typer.prompt(f"Donor {name}", default=source, err=True)) for name, source in sources.items()}
    return {name: answer for name, answer in answers.items() if answer != sources[name]}


def _numbers(generator: Generator, donors: Mapping[str, str], console: Console) -> dict[str, int]:
    numbers: dict[str, int] = {}
    try:
        depth = depth_of(Order(generator.name, donors, {}))
        console.print(f"{depth} layers", style="dim")
    except StackerError as error:
        console.print(str(error), style="yellow")
        depth = numbers[DEPTH] = typer.prompt("How many layers have they", type=int, err=True)
    for number in generator.numbers:
        default = number.default(depth, numbers)
        numbers[number.name] = typer.prompt(f"{number.name}: {number.meaning}", default=default, type=int, err=True)
    return numbers
