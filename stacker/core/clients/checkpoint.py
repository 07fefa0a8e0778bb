"""Describes what a client knows of a checkpoint: its config, its number of layers, and whether its head is tied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from stacker.arch.dimensions import collect_names
from stacker.arch.files.architecture import Architecture, LayerRule
from stacker.arch.files.clients import ClientRule
from stacker.arch.files.formula import Formula, FormulaError
from stacker.arch.layer_rules import is_applicable, read_layer_value
from stacker.core.stack.graph import StackGraph
from stacker.core.values.donor import Donor
from stacker.formats.json_object import Json


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as clients see it; `names` holds the values that the formulas of client rules may use."""

    architecture: Architecture
    depth: int
    names: Mapping[str, Any]

    def find_rule(self, name: str) -> LayerRule | None:
        """The family's layer rule of this name, if it applies to the config of this checkpoint."""
        rules = (rule for rule in self.architecture.rules if rule.name == name)
        return next((rule for rule in rules if is_applicable(rule, self.names)), None)

    def meets(self, condition: Formula) -> bool:
        """Whether a condition is true; False if it uses a name that the config does not have."""
        try:
            return bool(condition.value(self.names))
        except FormulaError:
            return False

    def list_misread(self, rule: ClientRule) -> tuple[int, ...]:
        """The layers for which the client derives another value than the config states; empty if that is not known."""
        stated = self.find_rule(rule.layers)
        if stated is None or rule.value is None:
            return ()
        try:
            return tuple(index for index in range(self.depth) if self._is_misread(stated, rule.value, index))
        except FormulaError:
            return ()

    def _is_misread(self, stated: LayerRule, value: Formula, index: int) -> bool:
        theirs: Json = value.value({**self.names, "i": index})
        return read_layer_value(stated, self.names, index) != theirs


def view_donor(donor: Donor) -> Checkpoint:
    """The Checkpoint of a donor."""
    names = collect_names(donor.architecture, donor.config)
    known = {"depth": donor.depth, "tied": is_tied(donor)}
    return Checkpoint(donor.architecture, donor.depth, {**names, **known})


def view_stack(
    graph: StackGraph, donors: Mapping[str, Donor], config: Mapping[str, Json], tied: Collection[tuple[str, str]]
) -> Checkpoint:
    """The Checkpoint that a build of the stack would write.

    `config` is its config.json, and `tied` the pairs of head and embedding tensors of which only one is written.
    """
    architecture = donors[graph.template].architecture
    ends = {feed.donor for node in (graph.embed, graph.head) for feed in node.feeds}
    same = len(ends) == 1 and is_tied(donors[graph.embed.feeds[0].donor])
    known = {"depth": len(graph.layers), "tied": bool(tied) or same}
    return Checkpoint(architecture, len(graph.layers), {**collect_names(architecture, config), **known})


def is_tied(donor: Donor) -> bool:
    """Whether a donor's head and embedding have the same values: one is not stored, or the config says so."""
    stated = collect_names(donor.architecture, donor.config).get("tie_word_embeddings")
    return bool(donor.tied()) or (stated is True and bool(donor.architecture.tied))
