"""Quantised donors in a stack: whether they fit together, and a quantization config that follows the layers.

Such weights are moved and never computed with. Configs name modules in lists and as keys, as plain names or as regular
expressions; those of a layer by its number are named anew for every place where the layer stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.arch.dimensions import text_config
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem
from stacker.formats.json_object import Json
from stacker.formats.quantized import QUANTIZATION_KEYS
from stacker.tensors import Dtype

_ANY_NUMBER = re.compile(r"\\d|\[0-9\]")
_WRAPPERS = frozenset({"", "model", "language_model", "transformer", "base_model"})
"""Components that may stand before the layers' name in a module of the decoder, whatever the donor's tensors say."""
_FULL_PRECISION = "take the donors in full precision"
OutputIndices = Mapping[str, Mapping[int, Sequence[int]]]
"""By donor and layer, the output layers that it makes."""


def quantization_of(donor: Donor) -> dict[str, Json] | None:
    """What a donor's config says of its quantization; None for a donor in full precision."""
    config = text_config(donor.architecture, donor.config)
    found = next((config[key] for key in QUANTIZATION_KEYS if config.get(key)), None)
    return found if isinstance(found, dict) else None


def check_quantization(template: Donor, donors: Iterable[Donor], dtype: Dtype | None) -> Iterator[Problem]:
    """Quantised weights can only be moved, all quantised alike, and not where which layers is said unclearly."""
    mine = _shared_settings(template)
    for donor in donors:
        if _shared_settings(donor) != mine:
            kinds = " and ".join(f"'{each.name}' {_method_text(each)}" for each in (template, donor))
            yield Problem(f"donors are quantised differently: {kinds}", "take donors of one kind", blame=Blame.DONOR)
        if dtype is not None and _method(donor):
            message = f"'{donor.name}' is quantised ({_method(donor)}): its tensors can be moved, not cast"
            hint = "leave out the output's dtype, or take the donors in full precision"
            yield Problem(message, hint, blame=Blame.DONOR)
        for name in _ModuleNames(donor.architecture.prefix).find_ambiguous(quantization_of(donor)):
            message = f"the quantization of '{donor.name}' names layers in a way that cannot follow them: {name}"
            yield Problem(message, _FULL_PRECISION, blame=Blame.DONOR)


def renumber_quantization(template: Donor, donors: Iterable[Donor], indices: OutputIndices) -> dict[str, Json] | None:
    """The template's quantization config with the modules of each layer named by the indices where the layer stands."""
    found: Json = None
    for donor in dict.fromkeys((template.name, *(donor.name for donor in donors))):
        known = next(each for each in (template, *donors) if each.name == donor)
        here = _ModuleNames(known.architecture.prefix).renumber(quantization_of(known), indices.get(donor, {}))
        found = here if found is None else _merge(found, here)
    return found if isinstance(found, dict) else None


def _shared_settings(donor: Donor) -> str:
    """What the quantization says of no layer by its number, as comparable text."""
    said = _ModuleNames(donor.architecture.prefix).renumber(quantization_of(donor), {})
    return json.dumps(said, sort_keys=True) if said else _method(donor)


def _method(donor: Donor) -> str:
    """How a donor is quantised; "" where it is not."""
    said = quantization_of(donor)
    return donor.quantized or (str(said.get("quant_method", "unknown")) if said else "")


def _method_text(donor: Donor) -> str:
    return f"as {_method(donor)}" if _method(donor) else "is not"


@dataclass(frozen=True, slots=True)
class _ModuleNames:
    """Names of modules in a config, `prefix` being how those of the donor's layers begin."""

    prefix: str

    def renumber(self, value: Json, indices: Mapping[int, Sequence[int]]) -> Json:
        """The value with every name of a layer's module as often as the layer stands somewhere."""
        match value:
            case dict():
                return {
                    new: self.renumber(inner, indices)
                    for key, inner in value.items()
                    for new in self._renumber_name(key, indices)
                }
            case list():
                return [new for item in value for new in self._renumber_item(item, indices)]
            case _:
                return value

    def _renumber_item(self, item: Json, indices: Mapping[int, Sequence[int]]) -> Sequence[Json]:
        return self._renumber_name(item, indices) if isinstance(item, str) else (self.renumber(item, indices),)

    def _renumber_name(self, name: str, indices: Mapping[int, Sequence[int]]) -> Sequence[str]:
        found = self._find_number(name)
        if found is None:
            return (name,)
        return [name[: found.start(1)] + str(place) + name[found.end(1) :] for place in indices.get(int(found[1]), ())]

    def find_ambiguous(self, value: Json) -> Iterator[str]:
        """Names that speak of some layers by number, but not of one."""
        match value:
            case dict():
                yield from (
                    name
                    for key, inner in value.items()
                    for name in (*self.find_ambiguous(key), *self.find_ambiguous(inner))
                )
            case list():
                yield from (name for item in value for name in self.find_ambiguous(item))
            case str() if not self._find_number(value):
                after = re.search(rf"(?<!\w){self._layers_word}\\?\.([^.]*)", value)
                if (
                    after
                    and self._is_decoder(value[: after.start()])
                    and re.search(r"\d", _ANY_NUMBER.sub("", after[1]))
                ):
                    yield value

    @property
    def _layers_word(self) -> str:
        """What the layers are called, the last word before the number."""
        return re.escape(self.prefix.partition("{i}")[0].rstrip(".").rpartition(".")[2])

    def _find_number(self, name: str) -> re.Match[str] | None:
        """The number of a decoder layer that a name or an expression speaks of; other towers have layers too."""
        found = re.search(rf"(?:(?<!\w){self._layers_word}|\.\*)\\?\.(\d+)(?=\\?\.|\$|$)", name)
        return found if found and self._is_decoder(name[: found.start()]) else None

    def _is_decoder(self, before: str) -> bool:
        words = {word for word in re.split(r"\W+", before) if not word.isdigit()}
        return words <= _WRAPPERS | {"re", *self.prefix.split(".")}


def _merge(one: Json, other: Json) -> Json:
    """Both, what they have in common once; keys of `other` alone first, for they are about fewer modules."""
    if isinstance(one, dict) and isinstance(other, dict):
        rest = {key: value for key, value in other.items() if key not in one}
        return {**rest, **one} | {key: _merge(one[key], other[key]) for key in one.keys() & other.keys()}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return one
