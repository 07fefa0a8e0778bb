"""Finds the quantised weights of a checkpoint in safetensors: which tensors store each, and how. Decodes nothing.

Schemes and their tensors, in order:

    scaled   8-bit numbers; one scale for each block of `settings` = (rows, columns)           fp8, int8
    int8     8-bit numbers, the largest magnitude of each row, and the order of the numbers          bitsandbytes
    fp4      pairs in the order of the elements, largest magnitudes of blocks, the 16 numbers; if the magnitudes are
             quantised, theirs and their 256 numbers; a JSON text. settings are (block, bytes of text, quantised)
    mxfp4    blocks [..., out, in / 32, 16] of fp4 pairs, and their exponents; stored transposed     gpt-oss
    nvfp4    pairs of fp4 in rows, fp8 scales for each 16, one scale; settings say whether it multiplies or divides
    gptq     qweight, qzeros, scales, g_idx; settings are (bits, groups, what to add to zeros)
    awq      qweight, qzeros, scales; settings are (group length)
    packed   int32 words along rows, scales; settings are (bits, group length)                 compressed-tensors
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from stacker.formats.json_object import Json
from stacker.tensors import Dtype, TensorSpec

Specs = Mapping[str, TensorSpec]
Entry = Mapping[str, Json]
_BYTES = (Dtype.F8_E4M3, Dtype.F8_E5M2, Dtype.I8)
_SCALES = (Dtype.F32, Dtype.F16, Dtype.BF16, Dtype.F8_E8M0, Dtype.U8)
_SCALE_ENDINGS = ("_scale_inv", "_scale")
_ACTIVATIONS = (".input_scale", ".input_global_scale", ".activation_scale", ".weight_shape")
"""Endings of tensors that plain weights do not need: scales of activations, and sizes."""
_TRANSFORMS = ("transform_config", "rotation", "rotation_config", "algo_config")
"""Entries of configs that say that the weights fit only rotated activations."""
_WORD = 32
_BLOCK_SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 32)
"""The elements of a block that bitsandbytes' 4 bits can have, 64 being usual."""
STREAMED = frozenset({"scaled", "int8", "fp4", "nvfp4", "packed"})
"""The schemes whose first tensor has the rows of the weight in order, so that a tile needs only a part of it."""


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A weight: its name and shape as plain numbers, and the tensors that store it; see the module's docstring."""

    name: str
    scheme: str
    parts: tuple[str, ...]
    shape: tuple[int, ...]
    settings: tuple[int, ...] = ()


def find_quantized_weights(
    entry: Entry, specs: Specs, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[QuantizedWeight]:
    """Yield the weights of a checkpoint whose config describes the quantisation by `entry`.

    `shapes` has the shapes that the family's weights have as plain numbers, as far as they are known. ValueError says
    which tensor is stored in a way that is not known here.
    """
    changed = next((key for key in _TRANSFORMS if entry.get(key)), None)
    if changed:
        raise ValueError(f"its weights are rotated or transformed ('{changed}')")
    for name in specs:
        if name.endswith(".weight.absmax"):
            yield _find_fp4(specs, name.removesuffix(".absmax"), shapes)
        for ending, find in _FINDERS.items():
            if name.endswith(ending):
                found = find(entry, specs, name, name.removesuffix(ending))
                if found:
                    yield found


def is_dropped(name: str) -> bool:
    """Whether a tensor is only for computing with quantised weights or activations."""
    return name.endswith(_ACTIVATIONS)


def _find_scaled(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    """A weight whose scale is the tensor `name`; None if `name` belongs to no tensor of 8-bit numbers."""
    weight = specs.get(base)
    if weight is None or weight.dtype not in _BYTES:
        return None
    if weight.dtype is Dtype.I8 and entry.get("quant_method") != "compressed-tensors":
        raise ValueError(f"{base} has bytes that may be numbers of 8 bits or pairs of 4 bits")
    if f"{base}_zero_point" in specs:
        raise ValueError(f"{base} has zero points")
    scale = specs[name]
    if scale.dtype not in _SCALES or len(weight.shape) < 2:
        raise ValueError(f"{name} is {scale.dtype.label} {[*scale.shape]}")
    return QuantizedWeight(base, "scaled", (base, name), weight.shape, _find_block(entry, weight, scale))


def _find_block(entry: Entry, weight: TensorSpec, scale: TensorSpec) -> tuple[int, int]:
    """The rows and columns that share a scale."""
    *lead, rows, width = weight.shape
    if scale.elements == prod(lead):
        return rows, width
    if scale.shape in ((*lead, rows, 1), (*lead, rows)):
        return 1, width
    stated = _find_stated_block(entry)
    grid = scale.shape[-2:]
    if tuple(scale.shape[:-2]) == tuple(lead) and len(grid) == 2 and 0 not in grid:
        block = stated or (-(-rows // grid[0]), -(-width // grid[1]))
        even = rows % grid[0] == width % grid[1] == 0
        if (-(-rows // block[0]), -(-width // block[1])) == grid and (stated or even):
            return block
    raise ValueError(f"{scale.name} {[*scale.shape]} does not fit {weight.name} {[*weight.shape]}")


def _find_stated_block(entry: Entry) -> tuple[int, int] | None:
    stated = [entry.get("weight_block_size"), *(weights.get("block_structure") for weights in _list_groups(entry))]
    for each in stated:
        if isinstance(each, list) and len(each) == 2:
            rows, columns = each
            if isinstance(rows, int) and isinstance(columns, int) and rows > 0 and columns > 0:
                return rows, columns
    return None


def _list_groups(entry: Entry) -> Iterator[Mapping[str, Json]]:
    """Yield how compressed-tensors stores the weights of each group of modules."""
    groups = entry.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            yield weights


def _find_int8(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    """A weight of bitsandbytes' LLM.int8(), whose rows have been divided by their largest magnitude over 127."""
    del entry
    weight, order, largest = specs.get(f"{base}.weight"), specs.get(f"{base}.weight_format"), specs[name]
    if weight is None or order is None or weight.dtype is not Dtype.I8 or len(weight.shape) != 2:
        raise ValueError(f"{name} lacks the numbers or the format that belong to it")
    rows, width = weight.shape
    if largest.dtype is not Dtype.F32 or largest.elements != rows or order.dtype is not Dtype.U8 or order.elements != 1:
        raise ValueError(f"{name} {[*largest.shape]} does not fit {weight.name} {[*weight.shape]}")
    return QuantizedWeight(weight.name, "int8", (weight.name, name, order.name), (rows, width))


def _find_fp4(specs: Specs, base: str, shapes: Mapping[str, tuple[int, ...]]) -> QuantizedWeight:
    """A weight of bitsandbytes' 4 bits (nf4, fp4). Its tensors do not have its shape, which the family has to know."""
    texts = [name for kind in ("nf4", "fp4") if (name := f"{base}.quant_state.bitsandbytes__{kind}") in specs]
    shape, pairs = shapes.get(base, ()), specs.get(base)
    if len(shape) != 2 or pairs is None or len(texts) != 1 or shape[1] % 2:
        raise ValueError(f"{base} has 4 bits of bitsandbytes, and its shape is not known")
    parts = [base, f"{base}.absmax", f"{base}.quant_map"]
    nested = specs[parts[1]].dtype is Dtype.U8
    parts += [f"{base}.nested_absmax", f"{base}.nested_quant_map"] if nested else []
    parts += texts
    elements, blocks = prod(shape), specs[parts[1]].elements
    length = next((size for size in _BLOCK_SIZES if -(-elements // size) == blocks), 0)
    settings = length, specs[texts[0]].elements, int(nested)
    kinds = (Dtype.U8, Dtype.U8 if nested else Dtype.F32, *[Dtype.F32] * (len(parts) - 3), Dtype.U8)
    missing = [name for name in parts if name not in specs]
    wanted = list_part_shapes("fp4", *shape, settings) if length and not missing else ()
    if [specs[name].elements for name in parts if name in specs] != [prod(each) for each in wanted] or [
        specs[name].dtype for name in parts
    ] != [*kinds]:
        raise ValueError(f"{base} {[*pairs.shape]} does not fit its blocks, or the shape {[*shape]}")
    return QuantizedWeight(base, "fp4", tuple(parts), shape, settings)


def _find_mxfp4(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    if entry.get("quant_method") != "mxfp4":
        return None
    blocks, scales = specs[name], specs.get(f"{base}_scales")
    if scales is None or blocks.dtype is not Dtype.U8:
        return None
    *lead, rows, groups, half = blocks.shape if len(blocks.shape) > 2 else (0, 0, 0)
    if scales.shape != blocks.shape[:-1] or scales.dtype is not Dtype.U8 or half != 16:
        raise ValueError(f"{name} {[*blocks.shape]} does not fit its scales {[*scales.shape]}")
    return QuantizedWeight(base, "mxfp4", (name, scales.name), (*lead, groups * 32, rows))


def _find_modelopt(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    """A weight of NVFP4 as ModelOpt stores it, whose second scale multiplies the first."""
    del entry
    pairs, scales = specs.get(f"{base}.weight"), specs.get(f"{base}.weight_scale")
    if pairs is None or scales is None:
        raise ValueError(f"{name} lacks the numbers or the scales that belong to it")
    return _make_nvfp4(f"{base}.weight", pairs, scales, specs[name], multiplies=1)


def _make_nvfp4(
    name: str, pairs: TensorSpec, scales: TensorSpec, whole: TensorSpec, *, multiplies: int
) -> QuantizedWeight:
    if pairs.dtype is not Dtype.U8 or len(pairs.shape) != 2 or scales.dtype is not Dtype.F8_E4M3:
        raise ValueError(f"{pairs.name} is {pairs.dtype.label} with scales of {scales.dtype.label}, which is no NVFP4")
    rows, width = pairs.shape[0], pairs.shape[1] * 2
    if width % 16 or scales.shape != (rows, width // 16) or whole.dtype is not Dtype.F32 or whole.elements != 1:
        raise ValueError(f"{pairs.name} {[*pairs.shape]} does not fit its scales {[*scales.shape]}")
    return QuantizedWeight(name, "nvfp4", (pairs.name, scales.name, whole.name), (rows, width), (multiplies,))


def _find_words(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    """A weight of GPTQ or AWQ."""
    method, bits = str(entry.get("quant_method")), _find_bits(entry)
    words, zeros, scales = specs[name], specs.get(f"{base}.qzeros"), specs.get(f"{base}.scales")
    if zeros is None or scales is None or len(words.shape) != 2 or len(scales.shape) != 2:
        raise ValueError(f"{name} lacks zeros or scales")
    if scales.dtype not in (Dtype.F16, Dtype.BF16, Dtype.F32) or {words.dtype, zeros.dtype} != {Dtype.I32}:
        raise ValueError(f"{name} is {words.dtype.label}, and its scales are {scales.dtype.label}")
    if method not in ("awq", "gptq"):
        raise ValueError(f"{name} is stored by a method that config.json does not call gptq or awq")
    if method == "awq":
        return _find_awq(entry, base, words, zeros, scales)
    return _find_gptq(entry, specs, base, bits, words, zeros, scales)


def _find_awq(entry: Entry, base: str, words: TensorSpec, zeros: TensorSpec, scales: TensorSpec) -> QuantizedWeight:
    (width, packed), groups = words.shape, scales.shape[0]
    version = str(entry.get("version") or "gemm").lower()
    if _find_bits(entry) != 4 or version != "gemm" or not groups or width % groups:
        raise ValueError(f"{words.name} is stored as AWQ {version} with {_find_bits(entry)} bits")
    if scales.shape[1] != packed * 8 or zeros.shape != (groups, packed):
        raise ValueError(f"{words.name} {[*words.shape]} does not fit its scales {[*scales.shape]}")
    parts = words.name, zeros.name, scales.name
    return QuantizedWeight(f"{base}.weight", "awq", parts, (packed * 8, width), (width // groups,))


def _find_gptq(
    entry: Entry, specs: Specs, base: str, bits: int, words: TensorSpec, zeros: TensorSpec, scales: TensorSpec
) -> QuantizedWeight:
    groups, rows = scales.shape
    order = specs.get(f"{base}.g_idx")
    layout = str(entry.get("checkpoint_format") or "gptq")
    if bits not in (2, 4, 8) or layout not in ("gptq", "gptq_v2") or entry.get("dynamic") or order is None:
        raise ValueError(f"{words.name} is stored as {layout} with {bits} bits")
    count = _WORD // bits
    width = words.shape[0] * count
    if words.shape[1] != rows or zeros.shape != (groups, rows // count) or order.shape != (width,) or rows % count:
        raise ValueError(f"{words.name} {[*words.shape]} does not fit its scales {[*scales.shape]}")
    if order.dtype is not Dtype.I32:
        raise ValueError(f"{order.name} is {order.dtype.label}")
    parts = words.name, zeros.name, scales.name, order.name
    return QuantizedWeight(f"{base}.weight", "gptq", parts, (rows, width), (bits, groups, int(layout == "gptq")))


def _find_bits(entry: Entry) -> int:
    bits = entry.get("bits", entry.get("w_bit"))
    return bits if isinstance(bits, int) else 0


def _find_packed(entry: Entry, specs: Specs, name: str, base: str) -> QuantizedWeight | None:
    words, scales = specs[name], specs.get(f"{base}.weight_scale")
    whole = specs.get(f"{base}.weight_global_scale")
    if words.dtype is Dtype.U8 and scales is not None and whole is not None:
        return _make_nvfp4(f"{base}.weight", words, scales, whole, multiplies=0)
    stated = {bits for weights in _list_groups(entry) if isinstance(bits := weights.get("num_bits"), int)}
    bits = next(iter(stated)) if len(stated) == 1 else 0
    odd = [part for part in ("weight_zero_point", "weight_g_idx", "weight_global_scale") if f"{base}.{part}" in specs]
    if bits not in (4, 8) or odd or scales is None or words.dtype is not Dtype.I32 or len(words.shape) != 2:
        more = "".join(f" and a {each}" for each in odd)
        raise ValueError(f"{name} has {words.dtype.label} words of {bits} bits{more}")
    rows, width = words.shape[0], words.shape[1] * _WORD // bits
    groups = scales.shape[-1]
    if scales.shape != (rows, groups) or not groups or width % groups or scales.dtype not in _SCALES[:3]:
        raise ValueError(f"{name} {[*words.shape]} does not fit its scales {[*scales.shape]}")
    return QuantizedWeight(f"{base}.weight", "packed", (name, scales.name), (rows, width), (bits, width // groups))


def list_part_shapes(scheme: str, rows: int, width: int, settings: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shapes of the tensors that store one matrix of a weight, in the order of the scheme."""
    match scheme, settings:
        case "scaled", (high, wide):
            return (rows, width), (-(-rows // high), -(-width // wide))
        case "int8", ():
            return (rows, width), (rows, 1), (1, 1)
        case "fp4", (length, size, nested):
            count = -(-rows * width // length)
            inner: tuple[tuple[int, ...], ...] = ((-(-count // 256),), (256,)) if nested else ()
            return (rows, width // 2), (count,), (16,), *inner, (size,)
        case "nvfp4", (_,):
            return (rows, width // 2), (rows, width // 16), (1, 1)
        case "mxfp4", ():
            return (width, rows // 32, 16), (width, rows // 32)
        case "gptq", (bits, groups, _):
            count = _WORD // bits
            return (width // count, rows), (groups, rows // count), (groups, rows), (width,)
        case "awq", (length,):
            return (width, rows // 8), (width // length, rows // 8), (width // length, rows)
        case "packed", (bits, length):
            return (rows, width * bits // _WORD), (rows, width // length)
    raise ValueError(f"there is no scheme {scheme} with {len(settings)} settings")


_Find = Callable[[Entry, Specs, str, str], QuantizedWeight | None]
_FINDERS: Mapping[str, _Find] = {
    **dict.fromkeys(_SCALE_ENDINGS, _find_scaled),
    ".SCB": _find_int8,
    ".weight_scale_2": _find_modelopt,
    "_blocks": _find_mxfp4,
    ".qweight": _find_words,
    ".weight_packed": _find_packed,
}
"""How a weight is found from the ending of a tensor's name."""
