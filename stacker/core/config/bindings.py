"""Finds config entries that no layer rule covers and that may depend on a layer's position, such as a list of layers.

A stack is refused if such an entry would have another value for a layer after the layer has moved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from stacker.arch.bindings.binding import Binding
from stacker.arch.bindings.entries import find_bindings, list_explained_keys
from stacker.arch.dimensions import select_text_config
from stacker.core.config.keys import DEPTH_KEYS, is_bookkeeping
from stacker.core.config.layer_entries import infer_text_list_rules
from stacker.core.config.refusals import OutputLayer
from stacker.core.config.rotary import ROTARY_KEYS
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem, Severity, did_you_mean, escape_text
from stacker.formats.json_object import Json


def check_bindings(template: Donor, layers: Sequence[OutputLayer], ignored_keys: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each donor config entry that no rule covers and that may depend on a layer's position.

    The problem is an error if the value that the stack's config has for a layer's new position differs from the value
    that the donor's config has for its old position; otherwise it is a warning.
    """
    written = _find_unexplained(template)
    donors = {donor.name: donor for layer in layers for donor, _ in layer.feeds}
    yield from _check_ignored_keys(ignored_keys, donors.values())
    reported: set[str] = set()
    for donor in donors.values():
        for key, binding in _find_unexplained(donor).items():
            if key in reported or key in ignored_keys:
                continue
            reported.add(key)
            there = written.get(key)
            broken = next((each for each in layers if _is_broken(binding, there, donor, each, len(layers))), None)
            yield _problem(donor, binding, broken)


def _check_ignored_keys(ignored_keys: Collection[str], donors: Collection[Donor]) -> Iterator[Problem]:
    """Yield a warning for each ignored key that no donor's config has, since it is probably misspelt."""
    configs = [select_text_config(donor.architecture, donor.config) for donor in donors]
    known = {key for config in configs for key in config}
    for key in ignored_keys:
        if all(_find_entry(config, key) is None and key not in config for config in configs):
            message = f"`config_keys` names '{key}', which no donor's config has"
            yield Problem(message, did_you_mean(key, known), severity=Severity.WARNING)


def _find_unexplained(donor: Donor) -> dict[str, Binding]:
    config = select_text_config(donor.architecture, donor.config)
    known = (
        list_explained_keys(donor.architecture)
        | {rule.key for rule in infer_text_list_rules(donor, donor.architecture.rules)}
        | {key for key in config if is_bookkeeping(key)}
        | ROTARY_KEYS
        | set(DEPTH_KEYS)
    )
    return {binding.key: binding for binding in find_bindings(config, donor.depth, known)}


def _is_broken(binding: Binding, written: Binding | None, donor: Donor, layer: OutputLayer, depth: int) -> bool:
    """Whether an output layer made from `donor` loses the value that a config entry of the donor had for it.

    `binding` is the donor's entry and `written` the same entry of the stack's config, None if it is absent; `depth` is
    that of the stack. The result is True if their values for the layer differ, and False if the layer is not made from
    `donor`.
    """
    there = written.value_at(layer.index, depth) if written else None
    own = (index for each, index in layer.feeds if each.name == donor.name)
    return any(binding.value_at(index, donor.depth) != there for index in own)


def _find_entry(config: Mapping[str, Json], path: str) -> Json:
    """The entry with this path, such as `attn_config.local_layers`; None if there is none."""
    key, _, rest = path.partition(".")
    inner = config.get(key)
    return inner if not rest else _find_entry(inner, rest) if isinstance(inner, dict) else None


def _problem(donor: Donor, binding: Binding, broken: OutputLayer | None) -> Problem:
    value = escape_text(str(_find_entry(select_text_config(donor.architecture, donor.config), binding.key)), 60)
    what = (
        f"'{binding.key}: {value}' in the config of '{donor.name}' may say something of each layer ({binding.meaning})"
    )
    hint = f"if it does not, write `config_keys: {{{binding.key}: ignore}}`"
    if broken is None:
        message = f"{what}; this stack keeps it, since no layer is moved to a place where it would differ"
        return Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
    message = f"{what}, and nothing says how it follows {broken.text}, which becomes layer {broken.index}"
    return Problem(message, f"{hint}; else move layers only to places where it says the same", broken.mark)
