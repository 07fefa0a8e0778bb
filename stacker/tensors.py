"""Describes tensors without their bytes: element type, name and shape, and which donor a tensor belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


class Dtype(Enum):
    """The element types of safetensors 0.8; `label` is a type's name in a file's header, `bits` the size of an element.

    `torch_name` is the type's name in the torch module, or "" where torch has no such type.
    """

    F64 = ("F64", 64, "float64")
    F32 = ("F32", 32, "float32")
    F16 = ("F16", 16, "float16")
    BF16 = ("BF16", 16, "bfloat16")
    F8_E5M2 = ("F8_E5M2", 8, "float8_e5m2")
    F8_E4M3 = ("F8_E4M3", 8, "float8_e4m3fn")
    F8_E5M2FNUZ = ("F8_E5M2FNUZ", 8, "float8_e5m2fnuz")
    F8_E4M3FNUZ = ("F8_E4M3FNUZ", 8, "float8_e4m3fnuz")
    F8_E8M0 = ("F8_E8M0", 8, "float8_e8m0fnu")
    F6_E2M3 = ("F6_E2M3", 6, "")
    F6_E3M2 = ("F6_E3M2", 6, "")
    F4 = ("F4", 4, "float4_e2m1fn_x2")
    C64 = ("C64", 64, "complex64")
    I64 = ("I64", 64, "int64")
    I32 = ("I32", 32, "int32")
    I16 = ("I16", 16, "int16")
    I8 = ("I8", 8, "int8")
    U64 = ("U64", 64, "uint64")
    U32 = ("U32", 32, "uint32")
    U16 = ("U16", 16, "uint16")
    U8 = ("U8", 8, "uint8")
    BOOL = ("BOOL", 8, "bool")

    def __init__(self, label: str, bits: int, torch_name: str) -> None:
        self.label = label
        self.bits = bits
        self.torch_name = torch_name

    @property
    def arithmetic(self) -> bool:
        """Whether stacker can scale, cast and blend tensors of this type: real floats of one or more whole bytes.

        F8_E8M0 is excluded, because its elements are exponents without a sign or a fraction.
        """
        return self.name in _ARITHMETIC


_ARITHMETIC = frozenset({"F64", "F32", "F16", "BF16", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ"})
DTYPES: dict[str, Dtype] = {dtype.label: dtype for dtype in Dtype}
CONFIG_DTYPES: dict[str, Dtype] = {
    "float64": Dtype.F64, "float32": Dtype.F32, "float16": Dtype.F16, "bfloat16": Dtype.BF16,
    "float8_e5m2": Dtype.F8_E5M2, "float8_e4m3fn": Dtype.F8_E4M3,
}  # fmt: skip
"""The float types that a config.json or a spec can name, by the names used there."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's name, element type and shape."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.bits // 8

    @property
    def row(self) -> int:
        """The length of the last dimension; 1 for a tensor without dimensions."""
        return self.shape[-1] if self.shape else 1


@dataclass(frozen=True, slots=True, order=True)
class TensorRef:
    """Refers to one tensor by the name of its donor and by the tensor's name in that donor."""

    donor: str
    name: str

    def __str__(self) -> str:
        return f"{self.donor}:{self.name}"
