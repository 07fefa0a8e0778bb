"""Tiny models of one family, each with one size or one on/off flag changed: configs and tensors that are saved."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from transformers import AutoConfig

from tests.families.cases import Case, Config
from tests.families.oracle import write_donor
from tests.families.tiny import tiny_case

_NO_SIZE = re.compile(r"_token_id$|layer|period|interval|step|version|_tp$|iters|offset|num_blocks|clip")
_NO_SWITCH = re.compile(r"^(use_cache|tie_|is_decoder|is_encoder|output_|return_|chunk_|add_cross)")
_NULL = ("q_lora_rank",)
"""Sizes that published configs may set to null, which results in a different set of tensors."""
_BEGIN_DENSE: Config = {"first_k_dense_replace": 2, "num_dense_layers": 2}


@dataclass(frozen=True, slots=True)
class Sample:
    """A saved config, and the shapes of the tensors saved with it."""

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of a family: a first one, then ones with one or two sizes doubled and at least the first one's tensors.

    `switch` is the config entry (on/off flag) that was changed for all of these samples, "" if none was.
    """

    sized: Sequence[Sample]
    switch: str = ""


def make_samples(model_type: str) -> tuple[Samples, list[Samples]]:
    """Make samples of the usual configuration, and further samples for each on/off flag that changes the tensors."""
    case = _begin_with_dense_layers(tiny_case(model_type))
    first = _save_sample(case)
    return Samples([first, *_double_sizes(case, first)]), list(_turn_switches(case, first))


def _begin_with_dense_layers(case: Case) -> Case:
    """The case with two dense layers before the layers with experts, if a config entry counts dense layers."""
    known = AutoConfig.for_model(case.model_type).to_dict()
    return replace(case, config={key: value for key, value in _BEGIN_DENSE.items() if key in known} | case.config)


def _double_sizes(case: Case, first: Sample) -> Iterator[Sample]:
    """For each size, a sample in which it is doubled.

    If the family does not allow that, another size is doubled too; if that fails, the size has no sample.
    """
    sizes = dict(_doubled_sizes(first.config))
    for key in sizes:
        pairs = ({key: sizes[key], other: sizes[other]} for other in sizes if other != key)
        tried = (_try_case(_change(case, first, changes), first) for changes in chain([{key: sizes[key]}], pairs))
        yield from filter(None, [next(filter(None, tried), None)])


def _doubled_sizes(config: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, int]]:
    """Every config entry that may be a size, with twice its value; names of nested entries have dots."""
    for key, value in config.items():
        if isinstance(value, dict) and not inside:
            yield from _doubled_sizes(value, f"{key}.")
        elif type(value) is int and value > 0 and not _NO_SIZE.search(key):
            yield inside + key, 2 * value


def _change(case: Case, first: Sample, changes: Mapping[str, Any]) -> Case:
    """The case with changed config entries, each under all names that the config class accepts for it."""
    names = type(AutoConfig.for_model(case.model_type)).attribute_map
    config = dict(case.config)
    for key, value in changes.items():
        outer, _, inner = key.partition(".")
        known = {outer, *(alias for alias, meant in names.items() if meant == outer)}
        config |= dict.fromkeys(known, {**first.config[outer], inner: value} if inner else value)
    return replace(case, config=config)


def _turn_switches(case: Case, first: Sample) -> Iterator[Samples]:
    turned: Config = {key: not value for key, value in first.config.items() if _is_switch(key, value)}
    turned |= dict.fromkeys(key for key in _NULL if key in first.config)
    for key, value in turned.items():
        other = _change(case, first, {key: value})
        sample = _try_case(other)
        if sample and sample.shapes != first.shapes:
            yield Samples([sample, *_double_sizes(other, sample)], key)


def _is_switch(key: str, value: Any) -> bool:
    return isinstance(value, bool) and not _NO_SWITCH.match(key)


def _try_case(case: Case, first: Sample | None = None) -> Sample | None:
    """Make a sample; None if the config class refuses the case, or if the sample lacks tensors of `first`."""
    try:
        sample = _save_sample(case)
    except (StrictDataclassError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return None
    return sample if first is None or first.shapes.keys() <= sample.shapes.keys() else None


def _save_sample(case: Case) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        home = write_donor(case, Path(folder) / "a", 0)
        config = json.loads((home / "config.json").read_text())
        with safe_open(home / "model.safetensors", "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return Sample(config, shapes)


def defaults_of(model_type: str) -> dict[str, Any]:
    """The default of every entry of the family's config class."""
    fields = dataclasses.fields(type(AutoConfig.for_model(model_type)))
    return {field.name: field.default for field in fields}
