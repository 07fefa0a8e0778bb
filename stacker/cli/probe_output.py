"""Prints and writes what `stacker probe` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stacker.cli.terminal.printing import make_console, print_json

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.measure.probes.results import DepthMap, Likeness, Proposal, Survey

NEAREST = 8
"""Up to which length the nearest runs are listed if no map was asked for."""


def print_survey(survey: Survey, runs: int) -> None:
    """Print what the layers do, and the runs up to the length `runs` across which the state turns least."""
    from stacker.view.probes.terminal import draw_nearest, draw_survey

    console = make_console()
    console.print(f"{survey.name}: {survey.depth} layers on {survey.tokens:,} tokens", style="bold")
    console.print(draw_survey(survey))
    console.print()
    console.print(draw_nearest(survey, runs or NEAREST))
    console.print()


def print_map(found: DepthMap, proposals: Sequence[Proposal]) -> None:
    """Print the map, the best edits, and what chance alone would give."""
    from stacker.view.probes.terminal import HeatMap, draw_proposals
    from stacker.view.probes.words import chance_text

    console = make_console()
    console.print(HeatMap(found))
    console.print()
    if proposals:
        console.print(draw_proposals(proposals))
    if found.chance and proposals:
        console.print(chance_text(found.chance))


def print_likeness(likeness: Likeness, *, as_json: bool) -> None:
    """Print how alike two donors are."""
    from stacker.view.probes.probe_json import likeness_json
    from stacker.view.probes.terminal import draw_likeness

    if as_json:
        print_json({"ok": True, "likeness": likeness_json(likeness)})
        return
    console = make_console()
    console.print(f"{likeness.first} and {likeness.second} on {likeness.tokens:,} tokens", style="bold")
    console.print(draw_likeness(likeness))
    console.print(f"After rotation, states of shuffled tokens would still reach {likeness.chance:.3f}.")


def make_folder(path: Path) -> Path:
    """Make a folder and those above it before anything is measured; StorageError if that is impossible."""
    from stacker.io.disk.storage import explain_errors

    with explain_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_map_files(
    files: Mapping[str, Path], survey: Survey, found: DepthMap | None, proposals: Sequence[Proposal]
) -> None:
    """Write the map to the paths in `files` under `svg` and `html`, and the proposed specs to the folder `specs`."""
    from stacker.io.disk.storage import explain_errors
    from stacker.view.probes.map_page import map_page_text
    from stacker.view.probes.map_svg import map_svg_text

    if found is None:
        return
    texts: dict[Path, str] = {}
    if "svg" in files:
        texts[files["svg"]] = map_svg_text(found)
    if "html" in files:
        texts[files["html"]] = map_page_text(found, proposals, survey)
    if "specs" in files:
        texts |= {files["specs"] / _name_spec(number, each): each.spec for number, each in enumerate(proposals, 1)}
    for path, text in texts.items():
        with explain_errors(path):
            path.write_text(text, encoding="utf-8")


def _name_spec(number: int, proposal: Proposal) -> str:
    """A file name that sorts by rank, such as `01-repeat-14-16.yml`."""
    edit = proposal.change.edit
    return f"{number:02}-{edit.label.replace(' ', '-')}-{edit.start}-{edit.stop}.yml"


def print_turns(stack: Stack, turns: Mapping[int, float]) -> None:
    """Print how far the residual stream turns at the junctions of a stack, if any are rated."""
    from stacker.core.stack.graph import find_junctions
    from stacker.view.probes.terminal import draw_turns

    if turns:
        junctions = {junction.index: junction for junction in find_junctions(stack.graph)}
        make_console().print(draw_turns(junctions, turns))


def print_probe_json(
    source: str,
    survey: Survey,
    found: DepthMap | None,
    proposals: Sequence[Proposal],
    turns: Mapping[int, float],
) -> None:
    """Print everything as one JSON value."""
    from stacker.view.probes.probe_json import map_json, proposal_json, survey_json

    head = {"ok": True, "source": source, "survey": survey_json(survey)}
    junctions = [{"layer": layer, "turn": turn} for layer, turn in turns.items()]
    more = {"junctions": junctions, "proposals": [*map(proposal_json, proposals)]}
    print_json(head | {"map": found and map_json(found)} | more)
