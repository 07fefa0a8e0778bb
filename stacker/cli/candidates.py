"""Opens the sources of commands that measure: specs, built stacks and donors, as candidates that load when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stacker.cli.parameters import share_assignments
from stacker.cli.run import load_source, parse_settings
from stacker.cli.terminal.printing import print_warnings
from stacker.errors import Problem, StackerError, raise_problems

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.live.live_stack import LiveStack, Settings
    from stacker.measure.candidates import Candidate


def open_candidates(
    sources: list[str], parameters: list[str] | None, device: str, dtype: str | None, max_memory: str | None
) -> tuple[Candidate, ...]:
    """The candidates of sources; the problems of all are raised together, warnings are printed.

    `parameters` are the words of `-p`. The first that is loaded shares its weights with those that are loaded later.
    """
    from stacker.compose import draw_blueprint
    from stacker.measure.candidates import Candidate

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


class Opening:
    """Loads a stack, with the weights of the stack that was loaded first where they are the same."""

    def __init__(self, stack: Stack, settings: Settings, loaded: list[LiveStack]) -> None:
        self._stack = stack
        self._settings = settings
        self._loaded = loaded

    def load(self) -> LiveStack:
        """The stack in memory."""
        if self._loaded:
            return self._loaded[0].rearranged(self._stack)
        live = self._stack.live_stack(self._settings.device, self._settings.dtype, self._settings.max_memory)
        self._loaded.append(live)
        return live


def write_file(path: Path, text: str) -> None:
    """Write a text file; StorageError if that fails."""
    from stacker.io.disk.storage import explain_errors

    with explain_errors(path):
        path.write_text(text, encoding="utf-8")
