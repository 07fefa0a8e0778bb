"""Opens the sources of commands that measure: specs, built stacks and donors, as candidates that load when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stacker.cli.parameters import share_assignments
from stacker.cli.run import load_source, parse_settings
from stacker.cli.terminal.printing import print_warnings
from stacker.errors import Problem, StackerError, raise_problems

if TYPE_CHECKING:
    from stacker.live.live_stack import LiveStack
    from stacker.measure.candidates import Candidate


def open_candidates(
    sources: list[str], parameters: list[str] | None, device: str, dtype: str | None, max_memory: str | None
) -> tuple[Candidate, ...]:
    """The candidates of sources; the problems of all are raised together, warnings are printed.

    `parameters` are the words of `-p`. The first that is loaded shares its weights with those that are loaded later.
    """
    from stacker.compose import draw_blueprint
    from stacker.measure.candidates import Candidate, Opening

    settings = parse_settings(device, dtype, max_memory)
    loaded: list[LiveStack] = []
    candidates, problems = [], list[Problem]()
    for source, given in zip(sources, share_assignments(sources, parameters), strict=True):
        try:
            stack = load_source(source, given)
            print_warnings(stack.problems)
            blueprint = draw_blueprint(stack)
            opening = Opening(stack, settings, loaded)
            candidates.append(Candidate(source, blueprint, settings, opening.load))
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    return tuple(candidates)


def write_file(path: Path, text: str) -> None:
    """Write a text file; StorageError if that fails."""
    from stacker.io.disk.storage import explain_errors

    with explain_errors(path):
        path.write_text(text, encoding="utf-8")
