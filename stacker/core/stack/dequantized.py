"""Turns quantised donors into donors of plain numbers: each quantised weight becomes an expression that decodes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from types import MappingProxyType

from stacker.arch.completeness import check_tensors
from stacker.arch.dimensions import select_text_config
from stacker.arch.placement import list_expected_tensors, place_tensors
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Cast, Copy, Decoded
from stacker.errors import Blame, Problem, raise_problems
from stacker.formats.json_object import Json
from stacker.formats.quantized import QUANTIZATION_KEYS
from stacker.formats.quantized_weights import (
    STREAMED,
    QuantizedWeight,
    find_quantized_weights,
    is_dropped,
    list_part_shapes,
)
from stacker.spec.language.stack_spec import StackSpec
from stacker.tensors import CONFIG_DTYPES, Dtype, TensorRef, TensorSpec

_DTYPE_KEYS = ("dtype", "torch_dtype")
_NAMES = {dtype: name for name, dtype in CONFIG_DTYPES.items()}


def dequantize_donors(spec: StackSpec, donors: Mapping[str, Donor]) -> dict[str, Donor]:
    """The donors, those that are quantised as plain numbers if the spec says `dequantize`.

    Their weights have the type that the spec sets for the result, or bf16. Raises all reasons why a donor's weights
    cannot be decoded together, as one error.
    """
    if not spec.output.dequantize:
        return dict(donors)
    dtype = spec.output.dtype
    dtype = dtype if dtype in (Dtype.F16, Dtype.F32, Dtype.F64) else Dtype.BF16
    problems: list[Problem] = []
    found = {}
    for name, donor in donors.items():
        found[name] = donor
        if donor.quantized:
            found[name], own = _dequantize(donor, dtype)
            problems += (replace(each, mark=each.mark or spec.mark_of("output")) for each in own)
    raise_problems(problems)
    return found


def _dequantize(donor: Donor, dtype: Dtype) -> tuple[Donor, list[Problem]]:
    """The donor as plain numbers of this type, and the problems that make it wrong."""
    entry = _find_entry(donor)
    specs = {name: tensor.spec for name, tensor in donor.tensors.items()}
    config = _make_plain_config(donor.config, dtype)
    try:
        weights = list(find_quantized_weights(entry, specs, _list_shapes(donor, config)))
    except ValueError as error:
        return donor, [_refuse(donor, str(error))]
    used = {part for weight in weights for part in weight.parts}
    kept = {name: tensor for name, tensor in donor.tensors.items() if name not in used and not is_dropped(name)}
    made = {weight.name: TensorSpec(weight.name, dtype, weight.shape) for weight in weights}
    whole = {name: tensor.spec for name, tensor in kept.items()} | made
    placements = place_tensors(donor.architecture, config, whole)
    tensors = dict(kept)
    for weight in weights:
        place = placements[weight.name]
        expression = Cast(_decode(donor, weight), dtype)
        tensors[weight.name] = DonorTensor(
            made[weight.name], place.part, place.role, place.layer, place.suffix, expression=expression
        )
    dropped = [(name, "only quantised weights need it") for name in donor.tensors if is_dropped(name)]
    plain = replace(
        donor,
        config=config,
        tensors=MappingProxyType(tensors),
        stored=donor.tensors,
        ignored=(*donor.ignored, *dropped),
        quantized="",
        descriptions={},
    )
    problems = [
        *_check_plain(donor, kept, weights),
        *_check_companions(donor, config, kept, weights),
        *check_tensors(donor.architecture, config, whole, placements),
    ]
    return plain, problems


def _list_shapes(donor: Donor, config: Mapping[str, Json]) -> dict[str, tuple[int, ...]]:
    """The shapes that the family says its tensors have; none for a family that is inferred."""
    if donor.architecture.inferred:
        return {}
    return {spec.name: spec.shape for spec in list_expected_tensors(donor.architecture, config)}


def _find_entry(donor: Donor) -> Mapping[str, Json]:
    config = select_text_config(donor.architecture, donor.config)
    found = next((config[key] for key in QUANTIZATION_KEYS if config.get(key)), None)
    return found if isinstance(found, dict) else {}


def _make_plain_config(config: Mapping[str, Json], dtype: Dtype) -> dict[str, Json]:
    """The config without what it says about quantised weights, nested configs included."""
    plain: dict[str, Json] = {}
    for key, value in config.items():
        if key in QUANTIZATION_KEYS:
            continue
        if key in _DTYPE_KEYS and value is not None:
            value = _NAMES[dtype]
        plain[key] = _make_plain_config(value, dtype) if key.endswith("_config") and isinstance(value, dict) else value
    return plain


def _decode(donor: Donor, weight: QuantizedWeight) -> Decoded:
    *lead, rows, width = weight.shape
    blocks = prod(lead)
    copies = tuple(Copy(_find_stored(donor, name)) for name in weight.parts)
    shapes = list_part_shapes(weight.scheme, rows, width, weight.settings)
    first = 0 if weight.scheme in STREAMED else prod(shapes[0]) * donor.tensors[weight.parts[0]].spec.dtype.size
    scales = sum(prod(shape) for shape in shapes[1:])
    kept = min(blocks, 2) * (first + 12 * scales)
    return Decoded(copies, weight.scheme, (blocks, rows, width), weight.settings, kept)


def _find_stored(donor: Donor, name: str) -> TensorRef:
    """The tensor of a file that is the donor's tensor `name`, which may be one of a stack."""
    expression = donor.tensors[name].expression
    return expression.tensor if isinstance(expression, Copy) else TensorRef(donor.name, name)


def _check_plain(donor: Donor, kept: Mapping[str, DonorTensor], weights: list[QuantizedWeight]) -> Iterator[Problem]:
    """Report tensors that are not plain numbers, and quantised weights that were changed or only partly read."""
    for weight in weights:
        for part in weight.parts:
            if not isinstance(donor.tensors[part].expression, Copy | None):
                yield _refuse(donor, f"{part} is computed from other tensors")
    odd = next((each.spec for each in kept.values() if each.spec.dtype not in _PLAIN), None)
    if odd is not None or not weights:
        what = f"{odd.name} is {odd.dtype.label}" if odd else "none of its tensors are known to be quantised"
        yield _refuse(donor, what)


def _check_companions(
    donor: Donor, config: Mapping[str, Json], kept: Mapping[str, DonorTensor], weights: list[QuantizedWeight]
) -> Iterator[Problem]:
    """Report a tensor beside a quantised weight that is neither the family's nor known: it may change the weight."""
    modules = {weight.name.rpartition(".")[0] for weight in weights}
    known = {"weight", "bias"} | {weight.name.rpartition(".")[2] for weight in weights}
    expected = _list_shapes(donor, config)
    for name in kept:
        module, _, last = name.rpartition(".")
        if module in modules and last not in known and not last.endswith("bias") and name not in expected:
            yield _refuse(donor, f"what '{name}' does to the weight beside it is not known")
            return


_PLAIN = (Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16)


def _refuse(donor: Donor, reason: str) -> Problem:
    message = f"donor '{donor.name}' ({donor.quantized}) cannot be dequantised: {reason}"
    return Problem(message, "use the donor in full precision", blame=Blame.DONOR)
