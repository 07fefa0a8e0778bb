"""Recipes and generators as people and programs read them."""

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
from stacker.view.scene.formatting import count_text


@dataclass(frozen=True, slots=True)
class Sketch:
    """What comes out of a recipe, or of a generator with donors of some shape: enough to draw it small."""

    graph: StackGraph
    donors: Mapping[str, Donor]
    sources: tuple[DonorSpec, ...]
    parameters: int

    @property
    def layers(self) -> int:
        return len(self.graph.layers)


def draw_recipes(recipes: Iterable[tuple[Recipe, Sketch]], room: int) -> Table:
    """One row a recipe, with its depth map in `room` columns, or without where there are none."""
    table = _table("recipe", "depth map", "layers", "size", "what it is", room=room)
    for recipe, sketch in recipes:
        figures = (str(sketch.layers), count_text(sketch.parameters))
        table.add_row(recipe.name, *_picture(sketch, room), *figures, recipe.summary)
    return table


def draw_generators(generators: Iterable[tuple[Generator, Sketch]], room: int) -> Table:
    """One row a generator, with what it makes of its defaults in `room` columns."""
    table = _table("generator", "depth map", "numbers", "what it makes", room=room)
    for generator, sketch in generators:
        numbers = " ".join(number.name for number in generator.numbers)
        table.add_row(generator.name, *_picture(sketch, room), numbers, generator.summary)
    return table


def _table(*columns: str, room: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 1 if room else 0, 0))
    for name in columns:
        kept = name in ("recipe", "generator", "depth map", "layers", "size")
        if room or name != "depth map":
            table.add_column(name, no_wrap=kept, justify="right" if name in ("layers", "size") else "left")
    return table


def _picture(sketch: Sketch, room: int) -> tuple[Text, ...]:
    return (draw_thumbnail(sketch.graph, sketch.donors, room, 3),) if room else ()


def draw_recipe_head(recipe: Recipe) -> RenderableType:
    """What a recipe says of itself; its picture and its text are to follow."""
    rows = {"source": recipe.source, "licence": recipe.licence, "published": recipe.published}
    return _head(recipe.name, recipe.summary, rows, recipe.notes)


def draw_generator(generator: Generator, donor: str) -> RenderableType:
    """A generator in full: its numbers, and how to call it with a donor like `donor`."""
    head = _head(generator.name, generator.summary, {"source": generator.source}, (generator.advice,))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "default", "at least", "meaning"):
        table.add_column(column)
    for number in generator.numbers:
        table.add_row(number.name, number.shown, str(number.least), number.meaning)
    donors = "".join(f" --donor {name}={donor}" for name in "ab"[: generator.donors[0]])
    call = Text(f"\nstacker new {generator.name}{donors} -o {generator.name}.yml", "bold")
    return Group(head, Text(), table, call)


def _head(name: str, summary: str, rows: Mapping[str, str], notes: Iterable[str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, value)
    return Group(Text.assemble((name, "bold"), f"  {summary}"), Text(), table, *(Text(note, "dim") for note in notes))


def recipe_json(recipe: Recipe, sketch: Sketch) -> dict[str, Any]:
    """A recipe for programs."""
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
    """A generator for programs."""
    return {
        "name": generator.name,
        "kind": "generator",
        "summary": generator.summary,
        "source": generator.source,
        "notes": [generator.advice],
        "donors": list(generator.donors),
        "numbers": [
            {"name": each.name, "meaning": each.meaning, "default": each.shown, "least": each.least}
            for each in generator.numbers
        ],
    }
