"""Shows recipes and generators as tables for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.spec.generators import Generator
from stacker.spec.language.stack_spec import DonorSpec
from stacker.spec.recipes import Recipe
from stacker.view.map.depth_map import draw_thumbnail
from stacker.view.scene.tabular import count_text, make_pairs, make_table, to_texts


@dataclass(frozen=True, slots=True)
class Sketch:
    """The facts about a stack that a list of recipes or generators shows.

    `donors` are the donors as they were read, `sources` the donors as the spec declares them, and `parameters` is
    how many parameters the stack has.
    """

    graph: StackGraph
    donors: Mapping[str, Donor]
    sources: tuple[DonorSpec, ...]
    parameters: int

    @property
    def layers(self) -> int:
        return len(self.graph.layers)


def draw_recipes(recipes: Iterable[tuple[Recipe, Sketch]], room: int) -> Table:
    """A table with one row for each of `recipes`, which pairs each recipe with facts about its stack.

    `room` is the width of each depth map in columns; 0 leaves the depth maps out.
    """
    table = _make_table("recipe", "depth map", "layers", "size", "what it is", room=room)
    for recipe, sketch in recipes:
        figures = (str(sketch.layers), count_text(sketch.parameters))
        table.add_row(*to_texts((recipe.name, *_draw_map(sketch, room), *figures, recipe.summary)))
    return table


def draw_generators(generators: Iterable[tuple[Generator, Sketch]], room: int) -> Table:
    """A table with one row for each of `generators`, which pairs each with facts about the stack it makes by default.

    `room` is the width of each depth map in columns; 0 leaves the depth maps out.
    """
    table = _make_table("generator", "depth map", "numbers", "what it makes", room=room)
    for generator, sketch in generators:
        numbers = " ".join(number.name for number in generator.numbers)
        table.add_row(*to_texts((generator.name, *_draw_map(sketch, room), numbers, generator.summary)))
    return table


def _make_table(*columns: str, room: int) -> Table:
    if not room:
        return make_table([name for name in columns if name != "depth map"], (), right=("layers", "size"))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 1, 0))
    for name in columns:
        unwrapped = name in ("recipe", "generator", "depth map", "layers", "size")
        table.add_column(name, no_wrap=unwrapped, justify="right" if name in ("layers", "size") else "left")
    return table


def _draw_map(sketch: Sketch, room: int) -> tuple[Text, ...]:
    return (draw_thumbnail(sketch.graph, sketch.donors, room, 3),) if room else ()


def draw_recipe_head(recipe: Recipe) -> RenderableType:
    """Name, summary, source, licence and notes of a recipe."""
    rows = {"source": recipe.source, "licence": recipe.licence, "published": recipe.published}
    return _draw_head(recipe.name, recipe.summary, rows, recipe.notes)


def draw_generator(generator: Generator, donor: str) -> RenderableType:
    """A generator in full: its summary and notes, a table of its numbers, and an example of `stacker new`.

    The example uses `donor`, a folder or hub id, for every donor.
    """
    head = _draw_head(generator.name, generator.summary, {"source": generator.source}, (generator.advice,))
    rows = [(number.name, number.shown, str(number.least), number.meaning) for number in generator.numbers]
    table = make_table(("number", "default", "at least", "meaning"), rows)
    donors = "".join(f" --donor {name}={donor}" for name in "ab"[: generator.donors[0]])
    call = Text(f"\nstacker new {generator.name}{donors} -o {generator.name}.yml", "bold")
    return Group(head, Text(), table, call)


def _draw_head(name: str, summary: str, pairs: Mapping[str, str], notes: Iterable[str]) -> RenderableType:
    title = Text.assemble((name, "bold"), f"  {summary}")
    return Group(title, Text(), make_pairs(pairs), *(Text(note, "dim") for note in notes))


def recipe_json(recipe: Recipe, sketch: Sketch) -> dict[str, Any]:
    """A recipe as a JSON value, with the YAML text of its spec.

    `sketch` supplies the numbers of layers and parameters, and the donors.
    """
    return {
        "name": recipe.name,
        "kind": "recipe",
        "summary": recipe.summary,
        "source": recipe.source,
        "licence": recipe.licence,
        "published": recipe.published,
        "notes": list(recipe.notes),
        "layers": sketch.layers,
        "parameters": sketch.parameters,
        "donors": {d.name: {"source": d.source, "like": d.like, "stack": d.stack} for d in sketch.sources},
        "spec": recipe.text,
    }


def generator_json(generator: Generator) -> dict[str, Any]:
    """A generator as a JSON value."""
    return {
        "name": generator.name,
        "kind": "generator",
        "summary": generator.summary,
        "source": generator.source,
        "notes": [generator.advice],
        "donors": list(generator.donors),
        "numbers": [
            {"name": number.name, "meaning": number.meaning, "default": number.shown, "least": number.least}
            for number in generator.numbers
        ],
    }
