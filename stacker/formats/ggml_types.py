"""Lists the tensor types of GGUF files: their numbers, blocks and sizes, from the package gguf 0.19 and llama.cpp.

A type that is not listed can be copied nevertheless: the offsets of a file say how many bytes its tensors have.
"""

from __future__ import annotations

from collections.abc import Mapping

from stacker.tensors import DTYPES, Dtype

_BLOCKS = (
    (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22), (7, "Q5_1", 32, 24), (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 40), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110), (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210), (15, "Q8_K", 256, 292), (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50), (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136), (29, "IQ1_M", 256, 56), (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66), (39, "MXFP4", 32, 17), (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18), (42, "Q2_0", 64, 18),
)  # fmt: skip
"""The number, name, elements a block and bytes a block of each quantised type."""
_PLAIN = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
_UNKNOWN = "TYPE"

RESCALED: Mapping[str, tuple[int, ...]] = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,),
    "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,), "IQ3_XXS": (0,),
    "IQ3_S": (0,), "IQ1_S": (0,), "IQ4_NL": (0,), "IQ4_XS": (0,), "TQ1_0": (52,), "TQ2_0": (64,), "Q1_0": (0,),
}  # fmt: skip
"""The bytes of a block at which the fp16 numbers are that all its elements are products or sums of products of."""

GGML_TYPES: Mapping[int, Dtype] = {number: DTYPES[label] for number, label in _PLAIN.items()} | {
    number: Dtype(label, size, block=block) for number, label, block, size in _BLOCKS
}
"""The tensor types by the numbers that GGUF files use."""
BLOCK_DTYPES = {dtype.label.lower(): dtype for dtype in GGML_TYPES.values() if dtype.writable and dtype.block > 1}
"""The quantised types that a spec can name."""
_NUMBERS = {dtype.label: number for number, dtype in GGML_TYPES.items()}
_LABELS = {dtype.label: dtype for dtype in GGML_TYPES.values()}

FILE_TYPES: Mapping[str, int] = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K": 12, "Q4_K": 15,
    "Q5_K": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26,
    "IQ2_S": 28, "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4": 38, "NVFP4": 39, "Q1_0": 40,
}  # fmt: skip
"""`general.file_type` of files whose largest part has a tensor type, as llama.cpp guesses it (llama_ftype)."""


def make_unknown_type(number: int, elements: int, nbytes: int) -> Dtype:
    """The type of a tensor whose type number is not listed; `nbytes` bytes hold its `elements` elements."""
    return Dtype(f"{_UNKNOWN}{number}", nbytes, block=max(elements, 1))


def find_type_number(dtype: Dtype) -> int | None:
    """The number that GGUF files use for a type; None if they have no such type."""
    number = dtype.label.removeprefix(_UNKNOWN)
    return int(number) if number.isdecimal() else _NUMBERS.get(dtype.label)


def find_dtype(label: str, elements: int, nbytes: int) -> Dtype:
    """The type called `label`, of safetensors or GGUF; `elements` elements of a type with an unknown number.

    KeyError if no type has that label.
    """
    number = label.removeprefix(_UNKNOWN)
    if number != label and number.isdecimal():
        return make_unknown_type(int(number), elements, nbytes)
    return DTYPES.get(label) or _LABELS[label]
