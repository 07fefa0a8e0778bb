"""The command recipes: lists published stacks and generators with small depth maps, or shows one in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from stacker.cli.app import START, Json, app, format_examples
from stacker.cli.terminal.completion import complete_recipe
from stacker.cli.terminal.printing import make_console, print_json
from stacker.errors import SpecError, StackerError, did_you_mean

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.spec.generators import Generator
    from stacker.spec.recipes import Recipe
    from stacker.view.tables.recipes import Sketch

EXAMPLE = "llama-2-70b"
"""Name of the reference config that is used in place of real donors to draw what a generator makes."""
MAP = 18
"""Width of a small depth map in columns; terminals narrower than 80 columns or without Unicode show no depth maps."""
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Show only this recipe or generator, in full.", autocompletion=complete_recipe),
]
Maps = Annotated[bool, typer.Option("--maps", help="Draw a small depth map beside each of the list.")]


@app.command(
    rich_help_panel=START,
    epilog=format_examples("recipes", "recipes --maps", "recipes goliath-120b", "recipes solar --json"),
)
def recipes(name: Name = None, *, maps: Maps = False, json: Json = False) -> None:
    """List published stacks and generators of common patterns, or show one in full; no weights are needed."""
    from stacker.io.files.spec_files import list_recipes
    from stacker.spec.generators import GENERATORS

    known = (*list_recipes(), *GENERATORS)
    if name is not None and name not in known:
        raise SpecError.of(f"there is no recipe '{name}'", did_you_mean(name, known))
    names = [name] if name else list(known)
    if json:
        print_json([_recipe_json(name) for name in names])
    elif name:
        _print_details(name, make_console())
    else:
        _print_list(names, make_console(), MAP if maps else 0)


def _recipe_json(name: str) -> dict[str, Any]:
    from stacker.spec.generators import GENERATORS
    from stacker.view.tables.recipes import generator_json, recipe_json

    if name in GENERATORS:
        return generator_json(GENERATORS[name])
    stack = load_recipe(name)
    return recipe_json(read_recipe(name), make_sketch(stack))


def _print_list(names: list[str], console: Console, room: int) -> None:
    from stacker.spec.generators import GENERATORS
    from stacker.view.tables.recipes import draw_generators, draw_recipes

    published = [(read_recipe(name), make_sketch(load_recipe(name))) for name in names if name not in GENERATORS]
    room = room if console.width >= 80 and not console.options.ascii_only else 0
    console.print(draw_recipes(published, room))
    console.print()
    generators = [(each, make_sketch(load_example(each))) for each in GENERATORS.values()]
    console.print(draw_generators(generators, room))
    hint = "\nstacker recipes NAME shows one in full, --maps draws all; stacker new NAME writes its spec."
    console.print(Text(hint, "dim"))


def _print_details(name: str, console: Console) -> None:
    from stacker.spec.generators import GENERATORS
    from stacker.view.tables.recipes import draw_generator, draw_recipe_head

    if name in GENERATORS:
        stack = load_example(GENERATORS[name])
        console.print(draw_generator(GENERATORS[name], "org/name"))
        console.print(Text(f"\nWith its defaults and donors like {EXAMPLE}:\n", "dim"))
    else:
        stack = load_recipe(name)
        console.print(draw_recipe_head(read_recipe(name)))
        console.print()
    console.print(stack.preview())
    if name not in GENERATORS:
        console.print()
        console.print(Syntax(stack.text.decode(), "yaml", theme="ansi_dark", background_color="default"))


def load_recipe(name: str) -> Stack:
    """The stack of a packaged recipe.

    Packaged reference configs are used in place of its donors, so that nothing is downloaded.
    """
    from stacker.compose import load_text
    from stacker.io.donors.reader import read_from_reference
    from stacker.io.files.spec_files import find_recipe, read_spec_file

    path = find_recipe(name)
    return load_text(read_spec_file(path), path, read=read_from_reference)


def read_recipe(name: str) -> Recipe:
    """Read a packaged recipe.

    Its summary, source, licence and notes are read from the comment at the top of its text.
    """
    from stacker.io.files.spec_files import find_recipe, read_spec_file
    from stacker.spec.recipes import parse_recipe

    return parse_recipe(name, read_spec_file(find_recipe(name)).decode())


def load_example(generator: Generator) -> Stack:
    """The stack that a generator makes with its default numbers from donors that have the reference config EXAMPLE."""
    from stacker.compose import load_text
    from stacker.io.donors.reader import read_from_reference
    from stacker.spec.generators import write_generated
    from stacker.spec.language.stack_spec import DonorSpec

    donors = [DonorSpec(name, "org/name", like=EXAMPLE) for name in "ab"[: generator.donors[0]]]
    text = write_generated(generator, donors, 80, {}, "FILE")
    return load_text(text.encode(), Path(f"{generator.name}.yml"), read=read_from_reference)


def make_sketch(stack: Stack) -> Sketch:
    """Extract the facts about a stack that the list of recipes shows; raises StackerError if the stack has errors."""
    from stacker.view.tables.recipes import Sketch

    if stack.planned is None:
        raise StackerError(*stack.problems)
    parameters = sum(planned.tensor.elements for planned in stack.planned.tensors)
    return Sketch(stack.graph, stack.donors, stack.spec.donors, parameters)
