"""Computes values from a donor's config: the names that formulas may use, the dimensions, and the number of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.formula import FormulaError
from stacker.errors import DonorError, escape_text
from stacker.formats.json_object import Json

MOST_DONOR_LAYERS = 10_000
PREDICTION_KEYS = ("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers", "nextn_predict_layers")
"""Config keys of the number of layers for multi-token prediction."""


def select_text_config(architecture: Architecture, config: Config) -> dict[str, Json]:
    """The config of the language model: the entries of `config`, overridden by those of the nested config if any.

    If the scope ends in a dot, as for the metadata of GGUF files, it is what the keys of the language model begin with.
    """
    if architecture.scope.endswith("."):
        own = (key for key in config if key.startswith(architecture.scope))
        return {key.removeprefix(architecture.scope): config[key] for key in own}
    inner = config.get(architecture.scope) if architecture.scope else None
    return {**config, **inner} if isinstance(inner, dict) else dict(config)


def collect_names(architecture: Architecture, config: Config) -> dict[str, Any]:
    """The values that formulas may use, by name: config entries, the family's default values, and its dimensions.

    Dimensions that cannot be computed from the config are left out.
    """
    entries = {key: _without_padding(value) for key, value in select_text_config(architecture, config).items()}
    names: dict[str, Any] = dict(architecture.defaults) | entries
    for name, formula in architecture.dimensions:
        try:
            names[name] = formula.value(names)
        except FormulaError:
            names.pop(name, None)
    return names


def _without_padding(value: Any) -> Any:
    """Remove leading zeros, which transformers writes, from the keys of a mapping by layer number: "05" becomes "5".

    Any other value is returned unchanged.
    """
    if isinstance(value, dict) and value and all(isinstance(key, str) and key.isdigit() for key in value):
        return {str(int(key)): entry for key, entry in value.items()}
    return value


def compute_dimensions(architecture: Architecture, config: Config) -> dict[str, int]:
    """The values of the family's dimensions for a config, by name; values that are not whole numbers are left out."""
    names = collect_names(architecture, config)
    found = {name: names.get(name) for name, _ in architecture.dimensions}
    return {name: int(value) for name, value in found.items() if value is not None and _is_whole(value)}


def count_layers(architecture: Architecture, config: Config) -> int:
    """The number of layers that the config states; DonorError if no number from 1 to MOST_DONOR_LAYERS is stated."""
    depth = _read_depth(architecture, collect_names(architecture, config))
    if not _is_whole(depth) or not 0 < depth <= MOST_DONOR_LAYERS:
        found = f"'{architecture.depth.text}' is {escape_text(repr(depth))}"
        message = f"config.json does not say how many layers there are: {found}"
        raise DonorError.of(message, f"it must be a whole number from 1 to {MOST_DONOR_LAYERS}")
    return int(depth)


def count_prediction_layers(entries: Config) -> int:
    """The number of layers for multi-token prediction, which follow the layers that the config counts; usually 0.

    `entries` is the config of the language model. Lists with an entry for each layer may have entries for these, too.
    """
    found = (entries.get(key) for key in PREDICTION_KEYS)
    counts = (count for count in found if isinstance(count, int) and not isinstance(count, bool))
    return next((count for count in counts if 0 < count <= MOST_DONOR_LAYERS), 0)


def _read_depth(architecture: Architecture, names: Mapping[str, Any]) -> Any:
    try:
        return architecture.depth.value(names)
    except FormulaError:
        return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
