"""Puts the values of parameters where `${…}` stands in the nodes of a spec, before a dialect's reader sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Mapping as Table
from collections.abc import Sequence as List
from dataclasses import dataclass, field

from stacker.errors import Mark, Problem, Severity, SpecError, did_you_mean
from stacker.spec.parameters.declarations import parse_declarations
from stacker.spec.parameters.expressions import ExpressionError, compute_text, list_names, parse_pieces
from stacker.spec.parameters.space import ParameterValue, SpecParameter, format_value, set_value
from stacker.text.node import Mapping, Node, Scalar, Sequence, shorten

NATIVE_KEY = "parameters"
MERGEKIT_KEY = "stacker_parameters"
"""Where mergekit files declare parameters: their own `parameters` are those of the merge method."""
_TAKEN_AS_WRITTEN = frozenset({"chat_template", NATIVE_KEY, MERGEKIT_KEY})
"""Top-level keys of a native spec whose values are not searched for `${`: Jinja may contain it."""
_STAND_IN = 1
_LITERAL = "write $${ for the characters ${ themselves"


@dataclass(frozen=True, slots=True)
class Substituted:
    """The documents of a text with all values put in, and the text's parameters with the values that were put in.

    `broken` has the places where no value could be put in; what stands there says nothing about the spec.
    """

    documents: tuple[Node, ...]
    parameters: tuple[SpecParameter, ...]
    problems: tuple[Problem, ...]
    broken: frozenset[Mark]


def substitute(documents: List[Node], given: Table[str, object]) -> Substituted:
    """Put the parameters of a text into its documents; `given` has values, by name, that replace those in the text."""
    problems: list[Problem] = []
    declared = tuple(_declare(documents, problems))
    parameters = tuple(_give(parameter, given, problems) for parameter in declared)
    if documents:
        problems += _check_given(documents[0].mark, [each.name for each in declared], given)
    work = _Substitution({each.name: each.value for each in parameters}, problems)
    changed = tuple(work.change_root(root) for root in documents)
    problems += (_warn_unused(each) for each in parameters if each.name not in work.used)
    return Substituted(changed, parameters, tuple(problems), frozenset(work.broken))


def find_key(root: Node) -> str:
    """The top-level key under which a document declares parameters, by its dialect."""
    return MERGEKIT_KEY if isinstance(root, Mapping) and "merge_method" in root.names else NATIVE_KEY


def _declare(documents: List[Node], problems: list[Problem]) -> Iterator[SpecParameter]:
    """The parameters that the documents declare; each can use those of all."""
    known: dict[str, SpecParameter] = {}
    for root in documents:
        if not isinstance(root, Mapping):
            continue
        key = find_key(root)
        for parameter in parse_declarations(root.get(key), key, problems):
            first = known.setdefault(parameter.name, parameter)
            if first is parameter:
                yield parameter
            else:
                message = f"parameter '{parameter.name}' is already declared on line {first.mark and first.mark.line}"
                problems.append(Problem(message, "declare it in one document", parameter.mark))


def _give(parameter: SpecParameter, given: Table[str, object], problems: list[Problem]) -> SpecParameter:
    if parameter.name not in given:
        return parameter
    try:
        return set_value(parameter, given[parameter.name])
    except SpecError as error:
        problems.extend(error.problems)
        return parameter


def _check_given(mark: Mark, names: List[str], given: Table[str, object]) -> Iterator[Problem]:
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names) or "this spec declares no parameters"
            yield Problem(f"there is no parameter '{shorten(name)}' to set", hint, Mark(mark.source))


def _warn_unused(parameter: SpecParameter) -> Problem:
    message = f"parameter '{shorten(parameter.name)}' is never used"
    return Problem(message, f"write ${{{parameter.name}}} where its value belongs", parameter.mark, Severity.WARNING)


@dataclass(slots=True)
class _Substitution:
    """Copies nodes with values put in. A node that aliases repeat is copied once, so that memory stays small."""

    values: dict[str, ParameterValue]
    problems: list[Problem]
    key: str = NATIVE_KEY
    used: set[str] = field(default_factory=set)
    broken: set[Mark] = field(default_factory=set)
    copies: dict[int, Node] = field(default_factory=dict)

    def change_root(self, root: Node) -> Node:
        """The root of a document; what declares parameters, and a template, stay as they are."""
        self.key = find_key(root)
        if not isinstance(root, Mapping):
            return self.change(root)
        kept = _TAKEN_AS_WRITTEN - {NATIVE_KEY} if self.key == MERGEKIT_KEY else _TAKEN_AS_WRITTEN
        entries = ((key, value if key.text in kept else self.change(value)) for key, value in root.entries)
        return Mapping(tuple(entries), root.mark)

    def change(self, node: Node) -> Node:
        """A copy of a node with values put in; the node itself if there is nothing to put in."""
        if id(node) not in self.copies:
            self.copies[id(node)] = self._change(node)
        return self.copies[id(node)]

    def _change(self, node: Node) -> Node:
        match node:
            case Scalar(_, text):
                return self._change_scalar(node) if "${" in text else node
            case Sequence(items):
                return Sequence(tuple(self.change(item) for item in items), node.mark)
            case Mapping(entries):
                return Mapping(tuple((self._check_key(key), self.change(value)) for key, value in entries), node.mark)

    def _check_key(self, key: Scalar) -> Scalar:
        """The key; keys are taken as they are, so one that is nothing but a parameter is reported."""
        if key.text.startswith("${") and key.text[2:-1] in self.values and key.text.endswith("}"):
            self._report(ExpressionError("a key cannot be a parameter", "only values and slices can"), key)
        return key

    def _change_scalar(self, node: Scalar) -> Scalar:
        try:
            pieces = parse_pieces(node.text)
            self._check_names(list_names(pieces), node)
            value = compute_text(pieces, dict.fromkeys(list_names(pieces), _STAND_IN) | self.values)
        except ExpressionError as error:
            self._report(error, node)
            value = _STAND_IN
        except OverflowError:
            self._report(ExpressionError("this sum is too large"), node)
            value = _STAND_IN
        return dataclasses.replace(node, value=value, text=format_value(value))

    def _check_names(self, names: List[str], node: Scalar) -> None:
        self.used.update(names)
        for name in dict.fromkeys(names):
            if name not in self.values:
                self._report(ExpressionError(f"there is no parameter '{shorten(name)}'", self._advise(name)), node)

    def _advise(self, name: str) -> str:
        close = did_you_mean(name, self.values) if self.values else ""
        declare = f"declare it at the top level: {self.key}: {{{name}: 16}}"
        return "\n".join(filter(None, (close or declare, "" if close.startswith("did") else _LITERAL)))

    def _report(self, error: ExpressionError, node: Scalar) -> None:
        self.problems.append(Problem(str(error), error.hint, node.mark))
        self.broken.add(node.mark)
