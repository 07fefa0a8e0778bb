"""Formats model references and parameters for a mergekit file, and collects what mergekit cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.errors import Mark, Problem
from stacker.spec.language.parameter_grammar import EVERYTHING, format_value
from stacker.spec.language.stack_spec import DonorSpec, Parameter, Rule, StackSpec
from stacker.spec.language.value_grammar import format_source
from stacker.text.emitter import Flow, Tree

Names = Mapping[str, tuple[str, ...]]
"""For each role, substrings of tensor names: the role's tensors are those whose name contains one of the substrings."""


@dataclass(frozen=True, slots=True)
class WriteContext:
    """What the functions that write one mergekit file share; `problems` collects what mergekit cannot express.

    `depths` maps donors to their number of layers, and `names` maps tensor roles to substrings of tensor names. `ramps`
    maps each op to the parameter that changes from layer to layer in a crossfade. `writers` are the roles of all
    tensors that hops divide; empty if they are not known, or if hops change tensors in other ways as well.
    """

    spec: StackSpec
    depths: Mapping[str, int]
    names: Names
    ramps: Mapping[str, str]
    writers: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, message: str, mark: Mark | None, hint: str = "") -> None:
        self.problems.append(Problem(message, hint, mark or Mark(self.spec.source)))

    def donor(self, name: str) -> str:
        donor = next((donor for donor in self.spec.donors if donor.name == name), DonorSpec(name, name))
        model = format_source(donor) if donor.source is not None else str(donor.stack if donor.stage else name)
        loras = (f"+{format_source(DonorSpec('lora', each.source, each.revision))}" for each in donor.adapters)
        return model + "".join(loras)

    def parameters(self, parameters: Mapping[str, Parameter], mark: Mark | None) -> dict[str, Tree]:
        """A mapping with the single key `parameters` for these parameters; an empty mapping if there are none."""
        texts = {name: self._parameter_tree(parameter, mark) for name, parameter in parameters.items()}
        return {"parameters": texts} if texts else {}

    def _parameter_tree(self, parameter: Parameter, mark: Mark | None) -> Tree:
        match parameter.rules:
            case (Rule(match, value),) if match == EVERYTHING:
                return format_value(value)
            case rules:
                return [Flow(condition) for rule in rules for condition in self._list_conditions(rule, mark)]

    def _list_conditions(self, rule: Rule, mark: Mark | None) -> list[dict[str, Tree]]:
        if rule.match == EVERYTHING:
            return [{"value": format_value(rule.value)}]
        inner = rule.match.strip("*")
        filters: tuple[str, ...] = ()
        if rule.match == f"*{inner}*" and "*" not in inner:
            filters = (inner,)
        elif "*" in rule.match:
            hint = f"it selects by a part of the name, such as '*{inner.partition('*')[0]}*'"
            self.refuse(f"mergekit cannot select by '{rule.match}'", mark, hint)
        elif rule.match in self.names:
            filters = self.names[rule.match]
        else:
            hint = "write a part of the names instead, as '*o_proj*' where attn.o is meant"
            self.refuse(f"mergekit knows no roles, so it cannot select '{rule.match}'", mark, hint)
        return [{"filter": text, "value": format_value(rule.value)} for text in filters]


def text_order(problem: Problem) -> tuple[int, int]:
    """A sort key that puts problems in the order of their line and column."""
    return (problem.mark.line or 0, problem.mark.column or 0) if problem.mark else (0, 0)
