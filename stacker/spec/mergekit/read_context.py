"""What reading one mergekit file needs at every place of it: the method, the donors, the problems found so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stacker.errors import Mark, Problem
from stacker.spec.language.parameter_grammar import combine_levels
from stacker.spec.language.stack_spec import Parameter, Setting, SliceSpec
from stacker.spec.language.validation import attempt
from stacker.spec.mergekit.grammar import DonorNames, parse_parameter
from stacker.spec.mergekit.methods import Method
from stacker.text.node import Mapping, Node, get_child, is_null

Made = TypeVar("Made")
Levels = tuple[Node, ...]
"""`parameters` mappings around a place, the nearest first."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The method of one file, its donors by the names they get, and the list that its problems go to."""

    method: Method
    problems: list[Problem]
    donors: DonorNames = field(default_factory=DonorNames)

    def attempt(self, parse: Callable[..., Made], *arguments: Any) -> Made | None:
        """See `validation.attempt`."""
        return attempt(self.problems, parse, *arguments)

    def error(self, message: str, hint: str, mark: Mark) -> None:
        """Keep one more error."""
        self.problems.append(Problem(message, hint, mark))

    def reference(self, node: Node, key: str) -> str | None:
        """The name of the donor under a key; None when there is none, or a bad one."""
        below = get_child(node, key)
        return None if below is node or is_null(below) else self.attempt(self.donors.name, below)

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
        parameter = combine_levels(*(parse_parameter(name, get_child(node, name), self.problems) for node in nodes))
        return Setting(name, parameter, nodes[0].key_mark(name)) if parameter else None
