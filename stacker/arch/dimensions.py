"""Values that an architecture computes from a config: names for formulas, dimensions, the number of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacker.arch.files.architecture import Architecture, Config
from stacker.arch.files.formula import FormulaError
from stacker.errors import DonorError
from stacker.formats.json_object import Json

MOST_DONOR_LAYERS = 100_000


def select_text_config(architecture: Architecture, config: Config) -> dict[str, Json]:
    """The language model's config: the outer entries, overridden by those of the nested config if there is one."""
    inner = config.get(architecture.scope) if architecture.scope else None
    return {**config, **inner} if isinstance(inner, dict) else dict(config)


def collect_names(architecture: Architecture, config: Config) -> dict[str, Any]:
    """The values that formulas may use, by name: config entries, the family's defaults, and computable dimensions."""
    entries = {key: _without_padding(value) for key, value in select_text_config(architecture, config).items()}
    names: dict[str, Any] = dict(architecture.defaults) | entries
    for name, formula in architecture.dimensions:
        try:
            names[name] = formula.value(names)
        except FormulaError:
            names.pop(name, None)
    return names


def _without_padding(value: Any) -> Any:
    """A mapping from layer numbers with its keys as plain numbers; transformers pads them with zeros ("05")."""
    if isinstance(value, dict) and value and all(isinstance(key, str) and key.isdigit() for key in value):
        return {str(int(key)): entry for key, entry in value.items()}
    return value


def compute_dimensions(architecture: Architecture, config: Config) -> dict[str, int]:
    """The family's dimensions under this config, by name; those whose value is not a whole number are left out."""
    names = collect_names(architecture, config)
    found = {name: names.get(name) for name, _ in architecture.dimensions}
    return {name: int(value) for name, value in found.items() if value is not None and _is_whole(value)}


def count_layers(architecture: Architecture, config: Config) -> int:
    """The number of layers that the config states; DonorError if it is missing or not from 1 to MOST_DONOR_LAYERS."""
    depth = _read_depth(architecture, collect_names(architecture, config))
    if not _is_whole(depth) or not 0 < depth <= MOST_DONOR_LAYERS:
        message = f"config.json does not say how many layers there are: '{architecture.depth.text}' is {depth!r}"
        raise DonorError.of(message, f"it must be a whole number from 1 to {MOST_DONOR_LAYERS}")
    return int(depth)


def _read_depth(architecture: Architecture, names: Mapping[str, Any]) -> Any:
    try:
        return architecture.depth.value(names)
    except FormulaError:
        return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
