"""The command diff, which compares two checkpoints by config and tensors, and if asked by their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import LOOK, Json, app, format_examples
from stacker.cli.inspection import DonorName, read_source
from stacker.cli.outputs import check_outputs
from stacker.cli.terminal.completion import complete_donor
from stacker.cli.terminal.printing import make_console, print_json, print_written
from stacker.cli.terminal.progress import show_progress
from stacker.errors import SpecError

if TYPE_CHECKING:
    from stacker.core.study.distances import WeightDistances

DIFFERENT = 1
"""The exit code of `diff` if the donors differ, as that of the program diff."""
Other = Annotated[
    str, typer.Argument(metavar="OTHER", help="The donor to compare DONOR with.", autocompletion=complete_donor)
]
Weights = Annotated[
    bool, typer.Option("--weights", help="Compare values too: distance and cosine, by role and layer, as a heat map.")
]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the heat map of --weights as SVG.")]


@app.command(
    rich_help_panel=LOOK,
    epilog=format_examples(
        "diff ./donor ./stack", "diff ./base ./tuned --weights", "diff org/name@v1 org/name@v2 --json"
    ),
)
def diff(donor: DonorName, other: Other, *, weights: Weights = False, svg: Svg = None, json: Json = False) -> None:
    """Show how two donors or stacks differ: config entries, and names, shapes and types of tensors.

    Values of tensors are compared only with --weights. The exit code is 1 if anything differs.
    """
    if svg and not weights:
        raise SpecError.of("--svg draws what --weights finds", "add --weights")
    check_outputs({"--svg": svg}, (donor, other))
    from stacker.core.study.difference import find_difference
    from stacker.view.tables.difference import difference_json, draw_difference

    one, two = read_source(donor, "diff"), read_source(other, "diff")
    found, distances = find_difference(one, two), _compare_weights(donor, other, quiet=json) if weights else None
    same = found.is_empty and (distances is None or distances.same)
    if json:
        print_json(difference_json(found) | {"same": same} | _make_weights_json(distances))
    else:
        make_console().print(draw_difference(one, two, found))
        _print_weights(distances)
    if svg and distances:
        _write_svg(svg, donor, other, distances)
    raise typer.Exit(0 if same else DIFFERENT)


def _compare_weights(donor: str, other: str, *, quiet: bool) -> WeightDistances:
    from stacker.distances import compare_weights

    with show_progress("comparing", quiet=quiet) as (watch,):
        return compare_weights(donor, other, watch=watch)


def _make_weights_json(found: WeightDistances | None) -> dict[str, object]:
    from stacker.view.weights.weights_json import weights_json

    return {"weights": weights_json(found)} if found else {}


def _print_weights(found: WeightDistances | None) -> None:
    from stacker.view.weights.terminal import WeightMap

    make_console().print(WeightMap(found) if found else "values were not compared; --weights compares them")


def _write_svg(path: Path, donor: str, other: str, found: WeightDistances) -> None:
    from stacker.io.disk.storage import explain_errors
    from stacker.view.weights.map_svg import weights_svg_text

    with explain_errors(path):
        path.write_text(weights_svg_text(donor, other, found), encoding="utf-8")
    print_written(path)
