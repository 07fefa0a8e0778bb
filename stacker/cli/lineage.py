"""The command that shows where a checkpoint, or one of its layers, comes from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import LOOK, Json, app, format_examples
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_json
from stacker.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacker.core.lineage.origins import TensorOrigins


class Diagram(StrEnum):
    """The formats of a drawn family tree."""

    MERMAID = "mermaid"
    SVG = "svg"


Source = Annotated[
    str,
    typer.Argument(
        metavar="OUT|DONOR|ID",
        help="A folder, a GGUF file, or a hub id: owner/name@revision.",
        autocompletion=complete_donor,
    ),
]
Layer = Annotated[
    int | None, typer.Option("--layer", min=0, help="The origin of this layer of an output, down to donors' bytes.")
]
Tensor = Annotated[str | None, typer.Option("--tensor", metavar="NAME", help="The origin of this tensor of an output.")]
Format = Annotated[Diagram | None, typer.Option("--format", help="Print the tree as a diagram.")]


@app.command(
    rich_help_panel=LOOK,
    epilog=format_examples("lineage ./out", "lineage ./out --layer 40", "lineage owner/name --format mermaid"),
)
def lineage(
    source: Source,
    *,
    layer: Layer = None,
    tensor: Tensor = None,
    diagram: Format = None,
    json: Json = False,
) -> None:
    """Show the family tree of a checkpoint, with licences; or where a layer or tensor of an output comes from."""
    if layer is not None and tensor is not None:
        raise SpecError.of("--layer and --tensor ask for two different things", "give one of the two")
    if diagram and (json or layer is not None or tensor is not None):
        raise SpecError.of("--format draws a whole tree and no JSON", "leave out --format, or the other options")
    if layer is not None or tensor is not None:
        _print_origins(source, layer, tensor, json=json)
        return
    from stacker.io.donors.ancestry import read_family_tree
    from stacker.view.lineage.diagrams import DIAGRAMS
    from stacker.view.lineage.lineage_json import tree_json
    from stacker.view.lineage.terminal import draw_tree

    tree = read_family_tree(source)
    if json:
        print_json(tree_json(tree))
    elif diagram:
        typer.echo(DIAGRAMS[diagram](tree), nl=False)
    else:
        make_console().print(draw_tree(tree))


def _print_origins(source: str, layer: int | None, tensor: str | None, *, json: bool) -> None:
    from stacker.checkpoint import trace_origins
    from stacker.view.lineage.lineage_json import origins_json
    from stacker.view.lineage.terminal import draw_origins

    found: Sequence[TensorOrigins] = trace_origins(Path(source), layer, tensor)
    if not found:
        what = f"layer {layer}" if tensor is None else f"tensor '{tensor}'"
        raise SpecError.of(f"{source} has no {what}", "`stacker inspect` lists its layers and tensors")
    if json:
        print_json(origins_json(found))
    else:
        make_console().print(draw_origins(found))
