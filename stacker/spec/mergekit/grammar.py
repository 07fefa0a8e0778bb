"""Parses single values of mergekit files: model references, and parameters with gradients and filters."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, field, replace

from stacker.errors import Mark, Problem, SpecError
from stacker.spec.language.parameter_grammar import EVERYTHING, drop_unreachable, parse_value
from stacker.spec.language.stack_spec import AdapterSpec, DonorSpec, Gradient, Parameter, Rule, StackSpec, Value
from stacker.spec.language.value_grammar import make_donor_name, parse_source
from stacker.text.node import Mapping, Node, Scalar, Sequence, describe, get_child, is_null, shorten

FLAGS = frozenset(
    {
        *("filter_wise", "int8_mask", "normalize", "normalize_weights"),
        *("nuslerp_flatten", "nuslerp_row_wise", "rescale"),
    }
)
"""The names of parameters that are booleans, which mergekit also reads and writes as 1 and 0."""
_REFERENCE = "write org/name, org/name@revision, or a folder; a LoRA follows after a '+': org/name+org/lora"


@dataclass(slots=True)
class DonorNames:
    """The donors of a document in order of appearance, by the source, revision and LoRA of their model references.

    `stages` are the specs of earlier documents by name; a model reference can be such a name.
    """

    donors: dict[Reference, DonorSpec] = field(default_factory=dict)
    stages: Table[str, StackSpec] = field(default_factory=dict)

    def all(self) -> tuple[DonorSpec, ...]:
        """All donors found so far, in order of appearance."""
        return tuple(self.donors.values())

    def name(self, node: Node) -> str:
        """The name of the donor that a model reference stands for; SpecError if the node is no model reference.

        A donor that is not in `donors` yet is added.
        """
        reference = parse_reference(node)
        if reference not in self.donors:
            source, revision, mark = reference.source, reference.revision, node.mark
            short = make_donor_name(source, {donor.name for donor in self.donors.values()})
            stage = None if revision else self.stages.get(source)
            from_stage = DonorSpec(short, stack=source, stage=stage, mark=mark)
            donor = from_stage if stage else DonorSpec(short, source, revision, mark=mark)
            self.donors[reference] = replace(donor, adapters=reference.adapters)
        return self.donors[reference].name


@dataclass(frozen=True, slots=True)
class Reference:
    """A model reference: a path or hub id, its revision (None: not given), and the LoRA to fold in, if there is one."""

    source: str
    revision: str | None = None
    adapters: tuple[AdapterSpec, ...] = ()


def parse_reference(node: Node) -> Reference:
    """A model reference: `path@revision`, `{model: path}` or `{model: {path, revision}}`, each with a LoRA or without.

    A LoRA is written as `model+lora`, or as `lora` beside `model`. SpecError for any other value.
    """
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.strip():
        return _parse_text(node.value, node.mark)
    if not isinstance(node, Mapping):
        raise SpecError.of(f"a model cannot be {describe(node)}", _REFERENCE, node.mark)
    if not is_null(node.get("override_architecture")):
        raise SpecError.of("'override_architecture' is not supported", "", node.key_mark("override_architecture"))
    inner = get_child(node, "model")
    if inner is node:
        return Reference(*_parse_mapping(node)[:2])
    reference, lora = parse_reference(inner), node.get("lora")
    if lora is None or is_null(lora):
        return reference
    if reference.adapters:
        raise SpecError.of("the LoRA is given twice", "after '+' or as 'lora', not both", node.key_mark("lora"))
    found = parse_reference(lora)
    return replace(reference, adapters=(AdapterSpec(found.source, found.revision, mark=lora.mark),))


def parse_parameter(name: str, node: Node, problems: list[Problem]) -> Parameter:
    """The parameter `name`, written as a value, a gradient, or a list of `{filter: substring of tensor names, value}`.

    Invalid values are left out, and their problems are added to `problems`.
    """
    rules: list[Rule] = []
    for filter_text, value in _list_conditions(name, node, problems):
        try:
            rules.append(Rule(_parse_filter(filter_text), _parse_value(name, value)))
        except SpecError as error:
            problems.extend(error.problems)
    return Parameter(drop_unreachable(rules))


def _parse_text(text: str, mark: Mark) -> Reference:
    model, plus, lora = text.partition("+")
    if "+" in lora:
        raise SpecError.of(f"'{shorten(text)}' has more than one '+'", _REFERENCE, mark)
    source, revision, _ = _parse_path(model, mark)
    if not plus:
        return Reference(source, revision)
    adapter, version, _ = _parse_path(lora, mark)
    return Reference(source, revision, (AdapterSpec(adapter, version, mark=mark),))


def _parse_path(text: str, mark: Mark) -> tuple[str, str | None, Mark]:
    donor = parse_source("model", text, mark)
    return str(donor.source), donor.revision, mark


def _parse_mapping(node: Mapping) -> tuple[str, str | None, Mark]:
    path, revision = node.get("path"), node.get("revision")
    if not isinstance(path, Scalar) or not isinstance(path.value, str):
        raise SpecError.of("a model needs a 'path'", "{path: org/name, revision: main}", node.mark)
    source, written, mark = _parse_path(path.value, path.mark)
    given = revision.text if isinstance(revision, Scalar) and revision.value is not None else None
    return source, given or written, mark


def _list_conditions(name: str, node: Node, problems: list[Problem]) -> list[tuple[Node | None, Node]]:
    """Pairs of a filter and a value for the tensors that the filter selects. A filter of None selects all tensors."""
    listed = node.items if isinstance(node, Sequence) else (node,)
    if not any(isinstance(item, Mapping) for item in listed):
        return [(None, node)]
    conditions: list[tuple[Node | None, Node]] = []
    for item in listed:
        value = item.get("value") if isinstance(item, Mapping) else None
        if isinstance(item, Mapping) and value is not None:
            conditions.append((item.get("filter"), value))
        else:
            message = f"each condition of '{shorten(name)}' needs a 'value'"
            problems.append(Problem(message, "for instance: - {filter: mlp, value: 0.5}", item.mark))
    return conditions


def _parse_filter(node: Node | None) -> str:
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return EVERYTHING
    if not isinstance(node, Scalar) or not node.text:
        raise SpecError.of(f"a filter cannot be {describe(node)}", "a part of a tensor's name, or '*'", node.mark)
    if node.text == EVERYTHING:
        return EVERYTHING
    if "*" in node.text or any(char.isspace() for char in node.text):
        raise SpecError.of(
            f"no tensor's name contains '{shorten(node.text)}'", "a filter is a plain part of a name", node.mark
        )
    return f"*{node.text}*"


def _parse_value(name: str, node: Node) -> Gradient | Value:
    if isinstance(node, Mapping):
        raise SpecError.of(f"'{shorten(name)}' cannot be a mapping here", "a number, or a list of numbers", node.mark)
    value = parse_value(name, node)
    return value == 1 if name in FLAGS and isinstance(value, float) and value in (0, 1) else value
