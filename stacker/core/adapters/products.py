"""Makes the low-rank products of an adapter's modules: how their factors lie in the adapter's tensors.

The formulas are those of peft 0.21 (`get_delta_weight` of its layers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from stacker.core.adapters.adapter import ModuleTensors
from stacker.core.adapters.targets import Targets
from stacker.core.values.donor import DonorTensor
from stacker.core.values.expression import Copy, Expression, LowRank
from stacker.core.values.matrix_parts import Strides
from stacker.errors import DonorError
from stacker.formats.adapters import AdapterPart
from stacker.tensors import TensorRef

_TRANSPOSED_EXPERTS = frozenset({"gpt_oss", "aria", "aria_text", "openai_privacy_filter"})
"""The families whose experts are [experts, in, out] in memory and marked so (`is_transposed`), which peft follows."""


def make_product(module: ModuleTensors, tensor: DonorTensor, of: Expression) -> tuple[LowRank, bool]:
    """A linear layer's or convolution's tensor plus s·B·A, and whether the tensor is stored transposed, as [in, out].

    DonorError if the factors do not fit the tensor.
    """
    shape = tensor.spec.shape
    (rank, width), (rows, columns) = module.matrix(AdapterPart.A), module.matrix(AdapterPart.B)
    stored = (shape[0], prod(shape[1:])) if len(shape) > 1 else (0, 0)
    factor = _find_factor(module, module.path, rank)
    fits, fits_transposed = stored == (rows, width), len(shape) == 2 and stored == (width, rows)
    if columns != rank or not (fits or fits_transposed):
        raise _make_misfit(module, tensor)
    one, other = module.copy(AdapterPart.B), module.copy(AdapterPart.A)
    if fits and not (fits_transposed and module.adapter.config.fan_in_fan_out):
        strides = Strides(0, 0, rank, 1), Strides(0, 0, width, 1)
        return LowRank(of, one, other, factor, (1, rows, rank, width), strides), False
    strides = Strides(0, 0, 1, width), Strides(0, 0, 1, rank)
    return LowRank(of, other, one, factor, (1, width, rank, rows), strides), True


def make_embedding_product(module: ModuleTensors, tensor: DonorTensor, of: Expression) -> LowRank:
    """An embedding [tokens, hidden] plus s·(B·A)ᵀ; DonorError if the factors do not fit it."""
    (rank, tokens), (hidden, columns) = module.matrix(AdapterPart.EMBEDDING_A), module.matrix(AdapterPart.EMBEDDING_B)
    if tensor.spec.shape != (tokens, hidden) or columns != rank:
        raise _make_misfit(module, tensor)
    strides = Strides(0, 0, 1, tokens), Strides(0, 0, 1, rank)
    left, right = module.copy(AdapterPart.EMBEDDING_A), module.copy(AdapterPart.EMBEDDING_B)
    return LowRank(of, left, right, _find_factor(module, module.path, rank), (1, tokens, rank, hidden), strides)


def make_expert_products(module: ModuleTensors, targets: Targets) -> Mapping[str, LowRank]:
    """The changed tensors of a module whose parameters, not submodules, were adapted (`target_parameters`), by name.

    DonorError unless the factors fit exactly one of these parameters of the donor.
    """
    names = list_parameters(module)
    fitting = [products for name in names if (products := _fit_parameter(module, targets, name))]
    if len(fitting) != 1:
        count = "none" if not fitting else "more than one"
        message = f"{count} of the parameters of {module.path} in '{targets.donor.name}' fits the adapter's factors"
        raise DonorError.of(message, _OTHER_BASE)
    return fitting[0]


def list_parameters(module: ModuleTensors) -> tuple[str, ...]:
    """The names of the parameters that an adapter may change in a module, where it names parameters, not modules."""
    listed = (name.rpartition(".") for name in module.adapter.config.target_parameters)
    return tuple(
        dict.fromkeys(name for owner, _, name in listed if not owner or f".{module.path}".endswith(f".{owner}"))
    )


def _fit_parameter(module: ModuleTensors, targets: Targets, parameter: str) -> dict[str, LowRank]:
    tensor = targets.find(f"{module.path}.{parameter}")
    if tensor is not None and len(tensor.spec.shape) == 2:
        product, transposed = make_product(module, tensor, read(targets, tensor))
        return {} if transposed else {tensor.spec.name: product}
    if tensor is not None:
        found = _make_fused_product(module, targets, tensor, f"{module.path}.{parameter}")
        return {tensor.spec.name: found} if found else {}
    return dict(_list_single_experts(module, targets, parameter))


def _make_fused_product(module: ModuleTensors, targets: Targets, tensor: DonorTensor, path: str) -> LowRank | None:
    """The product for a tensor [experts, out, in] or [experts, in, out]; None if the factors do not fit it.

    peft stacks the ranks of all experts: A is [experts · rank, in], and B is [out, rank · experts], the expert last.
    """
    (stacked, inputs), (outputs, columns) = module.matrix(AdapterPart.A), module.matrix(AdapterPart.B)
    shape = tensor.spec.shape
    if len(shape) != 3 or stacked % shape[0] or columns != stacked:
        return None
    experts, rank = shape[0], stacked // shape[0]
    in_a, in_b = Strides(0, rank * inputs, inputs, 1), Strides(0, 1, stacked, experts)
    one, other = module.copy(AdapterPart.B), module.copy(AdapterPart.A)
    of, marked = read(targets, tensor), targets.donor.config.get("model_type") in _TRANSPOSED_EXPERTS
    if shape[1:] == (outputs, inputs) and not (marked and outputs == inputs):
        factor = _find_factor(module, path, rank)
        return LowRank(of, one, other, factor, (experts, outputs, rank, inputs), (in_b, in_a))
    if shape[1:] == (inputs, outputs) and marked:
        flipped = Strides(0, in_a.block, 1, inputs), Strides(0, 1, experts, stacked)
        return LowRank(of, other, one, _find_factor(module, path, rank), (experts, inputs, rank, outputs), flipped)
    return None


def _list_single_experts(module: ModuleTensors, targets: Targets, parameter: str) -> Iterator[tuple[str, LowRank]]:
    """Yield the product for the tensor of each expert, where the donor stores them one by one."""
    found, experts = targets.find_experts(module.path, parameter)
    (stacked, inputs), (outputs, columns) = module.matrix(AdapterPart.A), module.matrix(AdapterPart.B)
    height = max((each.first + each.tensor.spec.shape[0] for each in found), default=0)
    if not found or stacked % experts or columns != stacked or outputs != height:
        return
    if any(each.tensor.spec.shape[1] != inputs for each in found):
        return
    rank = stacked // experts
    factor = _find_factor(module, f"{module.path}.{parameter}", rank)
    for each in found:
        left = Strides(each.first * stacked + each.expert, 0, stacked, experts)
        right = Strides(each.expert * rank * inputs, 0, inputs, 1)
        shape = 1, each.tensor.spec.shape[0], rank, inputs
        of = read(targets, each.tensor)
        yield (
            each.tensor.spec.name,
            LowRank(of, module.copy(AdapterPart.B), module.copy(AdapterPart.A), factor, shape, (left, right)),
        )


def read(targets: Targets, tensor: DonorTensor) -> Expression:
    """The expression of a donor's tensor before any adapter changes it."""
    return tensor.expression or Copy(TensorRef(targets.donor.name, tensor.spec.name))


def _find_factor(module: ModuleTensors, path: str, rank: int) -> float:
    """The factor of B·A; DonorError if the rank of the factors is not the one that the adapter's config says."""
    stated = module.adapter.config.find_rank(path)
    if rank != stated:
        message = f"the adapter's factors for {path} have rank {rank}, but its config says {stated}"
        raise DonorError.of(message, "fetch the adapter again: its files do not belong together")
    return module.adapter.config.find_scaling(path)


def _make_misfit(module: ModuleTensors, tensor: DonorTensor) -> DonorError:
    parts = [part for part in module.names if part.value.startswith("lora_") and "magnitude" not in part.value]
    sizes = {part.value.removesuffix(".weight"): [*module.adapter.shape(module.names[part])] for part in parts}
    shapes = ", ".join(f"{name} {size}" for name, size in sizes.items())
    message = f"{tensor.spec.name} is {[*tensor.spec.shape]}, which does not fit the adapter's {shapes}"
    return DonorError.of(message, _OTHER_BASE)


_OTHER_BASE = "the adapter was trained on another base, or on a base with changed layers or vocabulary"
