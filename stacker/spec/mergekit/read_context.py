"""ReadContext one mergekit file: its method, its donors' names, its levels of parameters, and what was found wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from stacker.errors import Mark, Problem, SpecError
from stacker.spec.language.parameter_grammar import combine_levels
from stacker.spec.language.stack_spec import Parameter, Setting, SliceSpec
from stacker.spec.mergekit.grammar import DonorNames, parse_parameter
from stacker.spec.mergekit.methods import Method
from stacker.text.node import Mapping, Node, get_child, is_null

Made = TypeVar("Made")
Levels = tuple[Node, ...]
"""`parameters` mappings around a place, the nearest first."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What context one file needs at every place of it; problems are collected in `found`."""

    method: Method
    found: list[Problem]
    donors: DonorNames = field(default_factory=DonorNames)

    def attempt(self, make: Callable[[], Made]) -> Made | None:
        """What `make` gives, or None with its problems kept."""
        try:
            return make()
        except SpecError as error:
            self.found.extend(error.problems)
            return None

    def error(self, message: str, hint: str, mark: Mark) -> None:
        """Keep one more error."""
        self.found.append(Problem(message, hint, mark))

    def reference(self, node: Node, key: str) -> str | None:
        """The name of the donor under a key; None when there is none, or a bad one."""
        below = get_child(node, key)
        return None if below is node or is_null(below) else self.attempt(lambda: self.donors.name(below))

    def below(self, node: Node, levels: Levels) -> Levels:
        """The levels with the parameters of one more place in front."""
        parameters = get_child(node, "parameters")
        return levels if parameters is node else (parameters, *levels)

    def source_settings(self, node: Node) -> tuple[Setting, ...]:
        """A source's own parameters, as far as the method takes them there."""
        return self._settings(self.below(node, ()), self.method.per_source)

    def shared_settings(self, levels: Levels) -> tuple[Setting, ...]:
        """The parameters above the sources, each from all its levels."""
        return self._settings(levels, (*self.method.shared, *self.method.per_source))

    def scale(self, source: SliceSpec, levels: Levels) -> Parameter | None:
        """The factors on a slice that is moved as it is."""
        own = [setting.parameter for setting in source.settings if setting.name == "scale"]
        above = [setting.parameter for setting in self.shared_settings(levels) if setting.name == "scale"]
        return combine_levels(*own, *above)

    def _settings(self, levels: Levels, names: tuple[str, ...]) -> tuple[Setting, ...]:
        return tuple(setting for name in names if (setting := self._setting(name, levels)))

    def _setting(self, name: str, levels: Levels) -> Setting | None:
        nodes = [level for level in levels if isinstance(level, Mapping) and not is_null(level.get(name))]
        parameter = combine_levels(*(parse_parameter(name, get_child(node, name), self.found) for node in nodes))
        return Setting(name, parameter, nodes[0].key_mark(name)) if parameter else None
