"""Collects the donors and problems of one mergekit file while the file is read, and looks up its parameters."""

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
"""The `parameters` mappings that apply at one place of a file, the innermost first: source, slice, module, file."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What the functions that read one mergekit file share.

    `method` is the file's merge method, `problems` collects the file's problems, and `donors` collects the file's
    donors.
    """

    method: Method
    problems: list[Problem]
    donors: DonorNames = field(default_factory=DonorNames)

    def attempt(self, parse: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> Made | None:
        """The result of `parse`.

        If `parse` raises SpecError, the result is None, and the error's problems are added to `problems`.
        """
        return attempt(self.problems, parse, *given, **named)

    def error(self, message: str, hint: str, mark: Mark) -> None:
        """Add one error to the file's problems."""
        self.problems.append(Problem(message, hint, mark))

    def reference(self, node: Node, key: str) -> str | None:
        """The name of the donor under `key` in `node`; None if `key` is missing or its value is null or invalid."""
        below = get_child(node, key)
        return None if below is node or is_null(below) else self.attempt(self.donors.name, below)

    def below(self, node: Node, levels: Levels) -> Levels:
        """The `parameters` mappings that apply inside `node`, where `levels` are those that apply around it.

        The `parameters` of `node`, if it has any, come first.
        """
        parameters = get_child(node, "parameters")
        return levels if parameters is node else (parameters, *levels)

    def source_settings(self, node: Node) -> tuple[Setting, ...]:
        """The parameters written in `node`, an entry of `sources` or `models`.

        Parameters that the merge method does not allow there are left out.
        """
        return self._settings(self.below(node, ()), self.method.per_source)

    def shared_settings(self, levels: Levels) -> tuple[Setting, ...]:
        """The merge method's parameters in `levels`, the `parameters` mappings that apply at one place of the file.

        A parameter that several mappings set has the rules of all of them, those of the innermost mapping first.
        """
        return self._settings(levels, (*self.method.shared, *self.method.per_source))

    def scale(self, source: SliceSpec, levels: Levels) -> Parameter | None:
        """The factors on a copied slice: the rules at its source, then those in the `parameters` mappings `levels`.

        None if no factors are written.
        """
        own = [setting.parameter for setting in source.settings if setting.name == "scale"]
        above = [setting.parameter for setting in self.shared_settings(levels) if setting.name == "scale"]
        return combine_levels(*own, *above)

    def _settings(self, levels: Levels, names: tuple[str, ...]) -> tuple[Setting, ...]:
        return tuple(setting for name in names if (setting := self._setting(name, levels)))

    def _setting(self, name: str, levels: Levels) -> Setting | None:
        nodes = [level for level in levels if isinstance(level, Mapping) and not is_null(level.get(name))]
        parameter = combine_levels(*(parse_parameter(name, get_child(node, name), self.problems) for node in nodes))
        return Setting(name, parameter, nodes[0].key_mark(name)) if parameter else None
