"""Reading one mergekit file: its method, its donors' names, its levels of parameters, and what was found wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from stacker.errors import Mark, Problem, Severity, SpecError, did_you_mean
from stacker.spec.language.parameters import combined
from stacker.spec.language.stack_spec import Parameter, Setting, SliceSpec
from stacker.spec.mergekit.methods import Method
from stacker.spec.mergekit.shape import MergekitShape, ModelIn, SourceIn
from stacker.spec.mergekit.values import DonorNames, parse_parameter
from stacker.text.node import Mapping, Node, child, is_null, shorten

Made = TypeVar("Made")
Levels = tuple[Node, ...]
"""`parameters` mappings around a place, the nearest first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one file needs at every place of it; problems are collected in `found`."""

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
        below = child(node, key)
        return None if below is node or is_null(below) else self.attempt(lambda: self.donors.name(below))

    def below(self, node: Node, levels: Levels) -> Levels:
        """The levels with the parameters of one more place in front."""
        parameters = child(node, "parameters")
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
        return combined(*own, *above)

    def _settings(self, levels: Levels, names: tuple[str, ...]) -> tuple[Setting, ...]:
        return tuple(setting for name in names if (setting := self._setting(name, levels)))

    def _setting(self, name: str, levels: Levels) -> Setting | None:
        nodes = [level for level in levels if isinstance(level, Mapping) and not is_null(level.get(name))]
        parameter = combined(*(parse_parameter(name, child(node, name), self.found) for node in nodes))
        return Setting(name, parameter, nodes[0].key_mark(name)) if parameter else None


_DEAD = ("residual_weight",)


def unknown_keys(shape: MergekitShape, node: Node, method: Method) -> Iterator[Problem]:
    """A warning for each such key of a mapping and of everything below it."""
    known = type(shape).model_fields
    for key in (*(shape.model_extra or {}), *(name for name in _DEAD if getattr(shape, name, None) is not None)):
        yield _warning(f"'{shorten(key)}' has no effect here", _close(key, known), node, key)
    for key in known:
        value, below = getattr(shape, key), child(node, key)
        if key == "parameters" and value:
            yield from _unknown_parameters(value, below, shape, method)
        for step, part in _parts(value):
            yield from unknown_keys(part, child(below, step), method)


def _unknown_parameters(
    names: dict[str, object], node: Node, shape: MergekitShape, method: Method
) -> Iterator[Problem]:
    at_source = isinstance(shape, SourceIn | ModelIn)
    known = method.per_source if at_source else (*method.per_source, *method.shared)
    for name in names:
        if name not in known:
            place = " at a source" if at_source and name in method.shared else ""
            message = f"'{method.name}' has no parameter '{shorten(name)}'{place}; it has no effect"
            yield _warning(message, _close(name, known), node, name)


def _parts(value: object) -> Iterator[tuple[str | int, MergekitShape]]:
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, part in pairs:
        if isinstance(part, MergekitShape):
            yield step, part


def _close(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did") else ""


def _warning(message: str, hint: str, node: Node, key: str) -> Problem:
    mark = node.key_mark(key) if isinstance(node, Mapping) else node.mark
    return Problem(message, hint, mark, Severity.WARNING)
