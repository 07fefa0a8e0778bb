"""Makes the low-rank products of LoRAs in GGUF files, as llama.cpp adds them (`build_lora_mm`, `build_lora_mm_id`)."""

from __future__ import annotations

from math import prod

from stacker.core.adapters.adapter import ModuleTensors
from stacker.core.values.donor import DonorTensor
from stacker.core.values.expression import Expression, LowRank
from stacker.core.values.matrix_parts import Strides
from stacker.errors import DonorError
from stacker.formats.adapters import AdapterPart

A, B = AdapterPart.GGUF_A, AdapterPart.GGUF_B


def make_gguf_product(module: ModuleTensors, tensor: DonorTensor, of: Expression) -> LowRank:
    """A tensor plus s·B·A, where s is α/rank, or 1 if α is 0; DonorError if the factors do not fit the tensor.

    A is [rank, in] and B [out, rank], both with the experts before where the tensor has experts. A of an embedding
    [tokens, hidden] is [tokens, rank].
    """
    first, second = (module.adapter.shape(module.names[part]) for part in (A, B))
    *lead, rows, width = tensor.spec.shape if len(tensor.spec.shape) > 1 else (0, 0)
    rank, blocks = (second[-1] if second else 0), prod(lead)
    embeds = tensor.role == "embed"
    if (
        not rank
        or first != ((rows, rank) if embeds else (*lead, rank, width))
        or second != ((width, rank) if embeds else (*lead, rows, rank))
    ):
        message = (
            f"{tensor.spec.name} is {[*tensor.spec.shape]}, which does not fit lora_a {[*first]}, lora_b {[*second]}"
        )
        raise DonorError.of(message, "the LoRA was trained on another base, or on a base with another vocabulary")
    alpha = module.adapter.config.alpha
    factor, size = (alpha / rank if alpha else 1.0), (blocks, rows, rank, width)
    if embeds:
        strides = Strides(0, 0, rank, 1), Strides(0, 0, 1, rank)
        return LowRank(of, module.copy(A), module.copy(B), factor, size, strides)
    strides = Strides(0, rows * rank, rank, 1), Strides(0, rank * width, width, 1)
    return LowRank(of, module.copy(B), module.copy(A), factor, size, strides)
