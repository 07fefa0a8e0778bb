"""Describes tensors without their bytes: element type, name and shape, and which donor a tensor belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Dtype:
    """An element type: `size` bytes hold a block of `block` elements, which is one element for most types.

    `label` is the type's name in a safetensors header or in llama.cpp, and `torch_name` its name in the torch module,
    or "" where torch has no such type. The class attributes are the types of safetensors 0.8.
    """

    label: str
    size: int
    torch_name: str = ""
    block: int = 1
    F64: ClassVar[Dtype]
    F32: ClassVar[Dtype]
    F16: ClassVar[Dtype]
    BF16: ClassVar[Dtype]
    F8_E5M2: ClassVar[Dtype]
    F8_E4M3: ClassVar[Dtype]
    F8_E5M2FNUZ: ClassVar[Dtype]
    F8_E4M3FNUZ: ClassVar[Dtype]
    F8_E8M0: ClassVar[Dtype]
    F6_E2M3: ClassVar[Dtype]
    F6_E3M2: ClassVar[Dtype]
    F4: ClassVar[Dtype]
    C64: ClassVar[Dtype]
    I64: ClassVar[Dtype]
    I32: ClassVar[Dtype]
    I16: ClassVar[Dtype]
    I8: ClassVar[Dtype]
    U64: ClassVar[Dtype]
    U32: ClassVar[Dtype]
    U16: ClassVar[Dtype]
    U8: ClassVar[Dtype]
    BOOL: ClassVar[Dtype]

    @property
    def bits(self) -> int:
        """The size of an element in bits, rounded down for types whose blocks also hold scales."""
        return self.size * 8 // self.block

    @property
    def arithmetic(self) -> bool:
        """Whether stacker can read elements of this type to scale, cast and blend them.

        These are real floats of one or more whole bytes, and quantised types of GGUF files. F8_E8M0 is excluded,
        because its elements are exponents without a sign or a fraction.
        """
        return self.label in _ARITHMETIC or self.label in _QUANTISED

    @property
    def writable(self) -> bool:
        """Whether stacker can round computed elements to this type."""
        return self.label in _ARITHMETIC or self.label in _ENCODED

    def nbytes(self, elements: int) -> int:
        """The number of bytes that hold `elements` elements, which are whole blocks."""
        return elements * self.size // self.block


_ARITHMETIC = frozenset({"F64", "F32", "F16", "BF16", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ"})
_ENCODED = frozenset({"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"})
_QUANTISED = _ENCODED | {
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "NVFP4", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M",
    "IQ4_NL", "IQ4_XS",
}  # fmt: skip
"""The quantised types that `stacker.arithmetic.blocks` encodes, and those that it decodes."""
_SAFETENSORS = (
    Dtype("F64", 8, "float64"), Dtype("F32", 4, "float32"), Dtype("F16", 2, "float16"), Dtype("BF16", 2, "bfloat16"),
    Dtype("F8_E5M2", 1, "float8_e5m2"), Dtype("F8_E4M3", 1, "float8_e4m3fn"),
    Dtype("F8_E5M2FNUZ", 1, "float8_e5m2fnuz"), Dtype("F8_E4M3FNUZ", 1, "float8_e4m3fnuz"),
    Dtype("F8_E8M0", 1, "float8_e8m0fnu"), Dtype("F6_E2M3", 3, block=4), Dtype("F6_E3M2", 3, block=4),
    Dtype("F4", 1, "float4_e2m1fn_x2", block=2), Dtype("C64", 8, "complex64"),
    Dtype("I64", 8, "int64"), Dtype("I32", 4, "int32"), Dtype("I16", 2, "int16"), Dtype("I8", 1, "int8"),
    Dtype("U64", 8, "uint64"), Dtype("U32", 4, "uint32"), Dtype("U16", 2, "uint16"), Dtype("U8", 1, "uint8"),
    Dtype("BOOL", 1, "bool"),
)  # fmt: skip
for _dtype in _SAFETENSORS:
    setattr(Dtype, _dtype.label, _dtype)
DTYPES: dict[str, Dtype] = {dtype.label: dtype for dtype in _SAFETENSORS}
"""The element types of safetensors 0.8, by their names in a file's header."""
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
        return self.dtype.nbytes(self.elements)

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
