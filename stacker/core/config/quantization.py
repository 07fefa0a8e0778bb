"""Checks whether quantised donors fit into one stack, and renumbers the layers in their quantization configs.

A quantization config lists modules by name or by regular expression. A name with a donor layer number is written once
for every output layer that is made from that donor layer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stacker.arch.dimensions import select_text_config
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Problem
from stacker.formats.json_object import Json
from stacker.formats.quantized import QUANTIZATION_KEYS
from stacker.tensors import Dtype

_ANY_NUMBER = re.compile(r"\\d|\[0-9\]")
_WRAPPERS = frozenset({"", "model", "language_model", "transformer", "base_model"})
"""Names of modules that may contain the decoder, in addition to the modules named in the donor's layer prefix."""
_DEQUANTIZE = "write `output: {dequantize: true}`"
OutputIndices = Mapping[str, Mapping[int, Sequence[int]]]
"""Maps a donor name and then a donor layer index to the indices of the output layers made from that donor layer."""


def quantization_of(donor: Donor) -> dict[str, Json] | None:
    """The quantization config of a donor; None if it has none."""
    config = select_text_config(donor.architecture, donor.config)
    found = next((config[key] for key in QUANTIZATION_KEYS if config.get(key)), None)
    return found if isinstance(found, dict) else None


def check_quantization(template: Donor, donors: Iterable[Donor], dtype: Dtype | None) -> Iterator[Problem]:
    """Report donors that are quantised differently from the template, and quantised donors that `dtype` would cast.

    Also report module names with a pattern for layer numbers, such as `layers.[0-3]`, since they cannot be renumbered.
    """
    mine = _shared_settings(template)
    for donor in donors:
        if _shared_settings(donor) != mine:
            kinds = " and ".join(f"'{each.name}' {_method_text(each)}" for each in (template, donor))
            yield Problem(
                f"donors are quantised differently: {kinds}",
                "use donors with the same quantization, or write `output: {dequantize: true}`",
                blame=Blame.DONOR,
            )
        if dtype is not None and _method(donor):
            message = f"'{donor.name}' is quantised ({_method(donor)}): its tensors can be moved, not cast"
            hint = f"leave out the `dtype` of `output`, or {_DEQUANTIZE}"
            yield Problem(message, hint, blame=Blame.DONOR)
        for name in _names_of(donor).find_ambiguous(quantization_of(donor)):
            where = f"the quantization config of '{donor.name}'"
            message = f"{where} names several layers at once, which cannot be renumbered: {name}"
            yield Problem(message, _DEQUANTIZE, blame=Blame.DONOR)


def renumber_quantization(template: Donor, donors: Iterable[Donor], indices: OutputIndices) -> dict[str, Json] | None:
    """Merge the donors' quantization configs, with donor layer numbers replaced by output layer numbers.

    Returns None if no donor has a quantization config.
    """
    merged: Json = None
    for donor in {donor.name: donor for donor in (template, *donors)}.values():
        names = _names_of(donor)
        renumbered = names.renumber(quantization_of(donor), indices.get(donor.name, {}))
        merged = renumbered if merged is None else _merge(merged, renumbered)
    return merged if isinstance(merged, dict) else None


def _shared_settings(donor: Donor) -> str:
    """The part of a donor's quantization config that applies to all layers, as JSON text to compare with other donors.

    If there is no such part, the result is the name of the quantization method, or "" if the donor is not quantised.
    """
    shared = _names_of(donor).renumber(quantization_of(donor), {})
    return json.dumps(shared, sort_keys=True) if shared else _method(donor)


def _method(donor: Donor) -> str:
    """The name of a donor's quantization method; "" if the donor is not quantised."""
    config = quantization_of(donor)
    return donor.quantized or (str(config.get("quant_method", "unknown")) if config else "")


def _method_text(donor: Donor) -> str:
    return f"as {_method(donor)}" if _method(donor) else "is not"


def _names_of(donor: Donor) -> _ModuleNames:
    modules = (tensor.suffix.partition(".")[0] for tensor in donor.tensors.values() if tensor.layer is not None)
    return _ModuleNames(donor.architecture.prefix, frozenset(modules))


@dataclass(frozen=True, slots=True)
class _ModuleNames:
    """Replaces the layer numbers in module names of a quantization config.

    `prefix` is the beginning of the donor's layer tensor names, such as `model.layers.{i}.`, and `modules` are the
    first words of these names after the prefix.
    """

    prefix: str
    modules: frozenset[str] = frozenset()

    def renumber(self, value: Json, indices: Mapping[int, Sequence[int]]) -> Json:
        """A copy of a config value in which every layer number in a module name is replaced by output layer numbers.

        `indices` lists the output layers made from each donor layer. A name is repeated for each output layer, and left
        out if its donor layer is not in `indices`.
        """
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
            return self._renumber_ending(name, indices)
        return [name[: found.start(1)] + str(index) + name[found.end(1) :] for index in indices.get(int(found[1]), ())]

    def _renumber_ending(self, name: str, indices: Mapping[int, Sequence[int]]) -> Sequence[str]:
        """Renumber a name that begins with the layer number, such as `1.mlp.gate`; other names are kept.

        Programs apply it to every module whose name ends so, also to that of layer 11. The new names are whole.
        """
        number, _, rest = name.partition(".")
        if not number.isdecimal() or rest.partition(".")[0] not in self.modules:
            return (name,)
        layers = (layer for layer in indices if str(layer).endswith(number))
        return [self.prefix.format(i=index) + rest for layer in layers for index in indices[layer]]

    def find_ambiguous(self, value: Json) -> Iterator[str]:
        """Yield the module names in a config value with a pattern for layer numbers, such as `layers.[0-3]`."""
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
                numbered = after and re.search(r"\d", _ANY_NUMBER.sub("", after[1]))
                if after and numbered and self._is_decoder(value[: after.start()]):
                    yield value

    @property
    def _layers_word(self) -> str:
        """The last word before the layer number in the prefix, such as `layers`, escaped for a regular expression."""
        return re.escape(self.prefix.partition("{i}")[0].rstrip(".").rpartition(".")[2])

    def _find_number(self, name: str) -> re.Match[str] | None:
        """Find the decoder layer number in a module name or regular expression; group 1 of the match is the number.

        Returns None if there is no layer number or if the number belongs to a tower, such as a vision encoder.
        """
        found = re.search(rf"(?:(?<!\w){self._layers_word}|\.\*)\\?\.(\d+)(?=\\?\.|\$|$)", name)
        return found if found and self._is_decoder(name[: found.start()]) else None

    def _is_decoder(self, before: str) -> bool:
        words = {word for word in re.split(r"\W+", before) if not word.isdigit()}
        return words <= _WRAPPERS | {"re", *self.prefix.split(".")}


def _merge(one: Json, other: Json) -> Json:
    """Merge two config values: objects key by key, lists without duplicates; for values of other types, return `one`.

    Keys that only `other` has are placed before the keys of `one`, since they apply to fewer modules.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        rest = {key: value for key, value in other.items() if key not in one}
        return {**rest, **one} | {key: _merge(one[key], other[key]) for key in one.keys() & other.keys()}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return one
