"""What every step of reading one mergekit file needs: its method, its donors, and the problems so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stacker.errors import Mark, Problem
from stacker.spec.language.parameter_grammar import combine_levels
from stacker.spec.language.stack_spec import Parameter, Setting, SliceSpec
from stacker.spec.language.validation import Given, Made, attempt
from stacker.spec.mergekit.grammar import DonorNames, parse_parameter
from stacker.spec.mergekit.methods import Method
from stacker.text.node import Mapping, Node, get_child, is_null

Levels = tuple[Node, ...]
"""The `parameters` mappings that apply at one place of a file, the nearest first."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The method of one file, the names of its donors, and the list that collects its problems."""

    method: Method
    problems: list[Problem]
    donors: DonorNames = field(default_factory=DonorNames)

    def attempt(self, parse: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> Made | None:
        """The result of `parse`; if it raises SpecError, None, and the problems are added to this file's."""
        return attempt(self.problems, parse, *given, **named)

    def error(self, message: str, hint: str, mark: Mark) -> None:
        """Add one error to this file's problems."""
        self.problems.append(Problem(message, hint, mark))

    def reference(self, node: Node, key: str) -> str | None:
        """The name of the donor written under a key; None if the key is missing, null or invalid."""
        below = get_child(node, key)
        return None if below is node or is_null(below) else self.attempt(self.donors.name, below)

    def below(self, node: Node, levels: Levels) -> Levels:
        """The levels that apply at `node`: its own `parameters`, if it has any, and then `levels`."""
        parameters = get_child(node, "parameters")
        return levels if parameters is node else (parameters, *levels)

    def source_settings(self, node: Node) -> tuple[Setting, ...]:
        """The parameters written at a source that the method allows there."""
        return self._settings(self.below(node, ()), self.method.per_source)

    def shared_settings(self, levels: Levels) -> tuple[Setting, ...]:
        """The method's parameters in `levels`; one that several levels set has the rules of the nearest level first."""
        return self._settings(levels, (*self.method.shared, *self.method.per_source))

    def scale(self, source: SliceSpec, levels: Levels) -> Parameter | None:
        """The factors on a slice that is copied: its source's first, then those in `levels`. None if there are none."""
        own = [setting.parameter for setting in source.settings if setting.name == "scale"]
        above = [setting.parameter for setting in self.shared_settings(levels) if setting.name == "scale"]
        return combine_levels(*own, *above)

    def _settings(self, levels: Levels, names: tuple[str, ...]) -> tuple[Setting, ...]:
        return tuple(setting for name in names if (setting := self._setting(name, levels)))

    def _setting(self, name: str, levels: Levels) -> Setting | None:
        nodes = [level for level in levels if isinstance(level, Mapping) and not is_null(level.get(name))]
        parameter = combine_levels(*(parse_parameter(name, get_child(node, name), self.problems) for node in nodes))
        return Setting(name, parameter, nodes[0].key_mark(name)) if parameter else None
