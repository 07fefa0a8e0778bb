"""Checks that per-layer lists of a donor's config have as many entries as the model has layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stacker.arch.dimensions import collect_names, count_prediction_layers, select_text_config
from stacker.arch.files.architecture import Architecture, Config, LayerRule, WriteKind
from stacker.arch.files.formula import find_names
from stacker.arch.layer_rules import has_all_values
from stacker.errors import Blame, Problem, Severity

_CHECKED_LISTS = (
    "activation_sparsity_pattern", "attention_layers", "layer_types", "layers_block_type",
    "num_attention_heads_per_layer",
)  # fmt: skip
"""Config keys of lists whose length transformers compares with the number of layers when it loads a config."""
_CHECKED_BESIDE_TYPES = "mlp_layer_types"
"""The key of a list whose length transformers compares only if the config also has `layer_types`."""


def check_list_lengths(architecture: Architecture, config: Config, depth: int) -> Iterator[Problem]:
    """Problems of per-layer lists whose length is not the number of layers, such as those left over from pruning.

    A list may also have entries for the multi-token-prediction layers, and may be shorter if the formulas of its layer
    rule repeat it.
    """
    entries = select_text_config(architecture, config)
    names = {**collect_names(architecture, config), "depth": depth}
    allowed = {depth, depth + count_prediction_layers(entries)}
    rules = {rule.key: rule for rule in architecture.rules if rule.write is WriteKind.LIST}
    checked = {*_CHECKED_LISTS, *((_CHECKED_BESIDE_TYPES,) if entries.get("layer_types") else ())}
    for key in sorted(rules.keys() | checked):
        value = entries.get(key)
        if not isinstance(value, list) or not value or len(value) in allowed:  # an empty list means the default
            continue
        message = f"'{key}' has {len(value)} entries, but the model has {depth} layers"
        if key in checked:
            hint = "transformers does not load such a config: cut or complete the list"
            yield Problem(message, hint, blame=Blame.DONOR)
        elif len(value) < depth and not has_all_values(_only_from(rules[key]), names, depth):
            yield Problem(message, "complete the list: it says nothing of the last layers", blame=Blame.DONOR)
        elif len(value) > depth:
            hint = f"the last {len(value) - depth} are ignored; cut the list if it is left over from a deeper model"
            yield Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)


def _only_from(rule: LayerRule) -> LayerRule:
    """The rule with only the formulas that read an entry of its list, since programs do not fall back on others."""
    own = (formula for formula in rule.read if rule.key in find_names([formula]) and formula.text != rule.key)
    return replace(rule, read=tuple(own))
