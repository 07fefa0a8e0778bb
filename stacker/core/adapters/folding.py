"""Folds adapters into a donor: each tensor that they change gets an expression over the donor's and their tensors.

With several adapters, the change that each makes to the donor's own weights is added, times the adapter's weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from stacker.arch.files.architecture import Part
from stacker.core.adapters.adapter import Adapter, ModuleTensors
from stacker.core.adapters.gguf_products import make_gguf_product
from stacker.core.adapters.products import (
    list_parameters,
    make_embedding_product,
    make_expert_products,
    make_product,
    read,
)
from stacker.core.adapters.targets import Targets, index_targets
from stacker.core.values.donor import Donor, DonorTensor
from stacker.core.values.expression import Blend, Cast, Copy, Expression, LowRank, Rescale, Rows
from stacker.core.values.matrix_parts import RowRun
from stacker.errors import DonorError, Problem, StackerError, raise_problems
from stacker.formats.adapters import AdapterPart
from stacker.tensors import TensorRef, TensorSpec

_MOST_LISTED = 5
_FACTORS = frozenset(part for part in AdapterPart if part.value.startswith("lora_") and "magnitude" not in part.value)
Changes = dict[str, Expression]
"""For each name of a tensor, the expression of the tensor as one adapter alone changes it."""


def fold_adapters(donor: Donor, adapters: Sequence[Adapter]) -> Donor:
    """A copy of the donor whose tensors are changed by all adapters; its `nested` donors include theirs.

    All reasons why the adapters do not fit the donor are raised together, as one DonorError.
    """
    untied = _untie(donor, adapters)
    targets = index_targets(untied)
    found = [_find_changes(targets, adapter) for adapter in adapters]
    raise_problems(problem for _, problems in found for problem in problems)
    tensors = dict(untied.tensors)
    for name in dict.fromkeys(name for changes, _ in found for name in changes):
        pairs = zip(adapters, found, strict=True)
        own = [(each.weight, changes[name]) for each, (changes, _) in pairs if name in changes]
        base = read(targets, tensors[name])
        tensors[name] = replace(tensors[name], expression=add_changes(base, own, name))
    nested = {**donor.nested, **{adapter.stored.name: adapter.stored for adapter in adapters}}
    warnings = (*donor.warnings, *(warning for adapter in adapters for warning in adapter.warnings))
    return replace(untied, tensors=MappingProxyType(tensors), nested=nested, warnings=warnings)


def add_changes(base: Expression, changes: Sequence[tuple[float, Expression]], name: str) -> Expression:
    """The tensor `name` plus the changes that adapters make to it, each given as (weight, changed tensor)."""
    used = [(weight, change) for weight, change in changes if weight]
    products = [(weight, each) for weight, each in used if isinstance(each, LowRank) and each.of == base]
    others = [(weight, each) for weight, each in used if not (isinstance(each, LowRank) and each.of == base)]
    total = base
    if len(others) == 1 and others[0][0] == 1.0:
        total = others[0][1]
    elif others:
        weights = [weight for weight, _ in others]
        total = _add_up([*(each for _, each in others), base], [*weights, 1.0 - sum(weights)], name)
    for weight, product in products:
        total = replace(product, of=total, factor=product.factor * weight)
    return total


def _add_up(parts: Sequence[Expression], weights: Sequence[float], name: str) -> Blend:
    each = tuple((("weight", weight),) for weight in weights)
    return Blend("linear", tuple(parts), (("normalize", False),), each, seed=name)


def _untie(donor: Donor, adapters: Sequence[Adapter]) -> Donor:
    """A copy of the donor that stores its head apart from the embedding if an adapter changes only one of them.

    Rows that were trained with the model (`trainable_token_indices`) are changed at both ends, as peft does.
    """
    targets = index_targets(donor)
    pairs = dict(donor.tied())
    touched = {
        head
        for adapter in adapters
        for module in adapter.modules
        if AdapterPart.TOKENS not in module.tensors
        for head in _find_ends(targets, pairs, f"{module.path}.weight")
    }
    tensors = dict(donor.tensors)
    for head in touched:
        partner = donor.tensors[pairs[head]]
        spec = TensorSpec(head, partner.spec.dtype, partner.spec.shape)
        whole = partner.expression or Copy(TensorRef(donor.name, partner.spec.name))
        tensors[head] = DonorTensor(spec, Part.HEAD, "head", None, "", expression=whole)
    return replace(donor, tensors=MappingProxyType(tensors)) if touched else donor


def _find_ends(targets: Targets, pairs: Mapping[str, str], name: str) -> Iterator[str]:
    """Yield the tied heads that a change of the tensor `name` separates from their embedding."""
    tied, tensor = targets.find_tied(name), targets.find(name)
    if tied:
        yield tied[0]
    if tensor:
        yield from (head for head, partner in pairs.items() if partner == tensor.spec.name)


def _find_changes(targets: Targets, adapter: Adapter) -> tuple[Changes, list[Problem]]:
    """The tensors that an adapter changes, and the problems of those that it cannot change."""
    changes: Changes = {}
    problems: list[Problem] = []
    missing: list[str] = []
    for module in adapter.modules:
        tensors = ModuleTensors(adapter, module.path, module.tensors)
        try:
            for name, expression in _change_module(targets, tensors):
                changes[name] = _check_changeable(targets.donor, targets.donor.tensors[name], expression)
        except KeyError as error:
            missing.append(str(error.args[0]))
        except StackerError as error:
            problems += error.problems
    if missing:
        more = f" and {len(missing) - _MOST_LISTED} more" if len(missing) > _MOST_LISTED else ""
        message = (
            f"donor '{targets.donor.name}' has no {', '.join(missing[:_MOST_LISTED])}{more}, which the adapter changes"
        )
        hint = f"the adapter was trained on {adapter.config.base or 'another base'}; is this donor the same model?"
        if targets.donor.container == "gguf":
            hint = "GGUF donors need the adapter as a GGUF file: llama.cpp's convert_lora_to_gguf.py makes one"
        problems.append(Problem(message, hint, blame=DonorError.blame))
    return changes, [_locate(problem, adapter) for problem in problems]


def _locate(problem: Problem, adapter: Adapter) -> Problem:
    return replace(problem, message=f"adapter {adapter.stored.source}: {problem.message}")


def _change_module(targets: Targets, module: ModuleTensors) -> Iterator[tuple[str, Expression]]:
    """Yield the name and the new expression of each tensor that an adapter changes in one module.

    KeyError with the name of a tensor that the donor lacks.
    """
    if list_parameters(module) and targets.find(f"{module.path}.weight") is None:
        yield from make_expert_products(module, targets).items()
        return
    if module.names.keys() - {AdapterPart.BIAS, AdapterPart.B_BIAS}:
        tensor = _find(targets, f"{module.path}.weight")
        yield tensor.spec.name, _change_weight(targets, module, tensor)
    if module.names.keys() & {AdapterPart.BIAS, AdapterPart.B_BIAS}:
        bias = _find(targets, f"{module.path}.bias")
        yield bias.spec.name, _change_bias(targets, module, bias)


def _find(targets: Targets, name: str) -> DonorTensor:
    tensor = targets.find(name)
    if tensor is None:
        raise KeyError(name)
    return tensor


def _change_weight(targets: Targets, module: ModuleTensors, tensor: DonorTensor) -> Expression:
    of = read(targets, tensor)
    if module.has(AdapterPart.WEIGHT):
        of = _replace(module, AdapterPart.WEIGHT, tensor)
    if module.has(AdapterPart.A, AdapterPart.B):
        product, transposed = make_product(module, tensor, of)
        of = _rescale(module, product, columns=transposed)
    elif module.has(AdapterPart.EMBEDDING_A, AdapterPart.EMBEDDING_B):
        of = _rescale(module, make_embedding_product(module, tensor, of), columns=True)
    elif module.has(AdapterPart.GGUF_A, AdapterPart.GGUF_B):
        of = make_gguf_product(module, tensor, of)
    elif module.names.keys() & _FACTORS:
        raise DonorError.of(f"one of the two factors for {module.path} is missing", "fetch the adapter again")
    return _replace_rows(module, tensor, of) if module.has(AdapterPart.TOKENS) else of


def _rescale(module: ModuleTensors, product: LowRank, *, columns: bool) -> Expression:
    """The product with the magnitudes of DoRA, if the adapter has them for this module (arXiv:2402.09353, eq. 5).

    There is one magnitude for each output of a linear layer, and for each column of an embedding.
    """
    if not module.has(AdapterPart.MAGNITUDES):
        return product
    _, rows, _, width = product.shape
    lengths = module.adapter.matrix(module.names[AdapterPart.MAGNITUDES])
    if lengths[0] * lengths[1] != (width if columns else rows):
        raise DonorError.of(f"the magnitudes for {module.path} do not fit its weight", "fetch the adapter again")
    return Rescale(product, module.copy(AdapterPart.MAGNITUDES), rows, width, columns)


def _replace(module: ModuleTensors, part: AdapterPart, tensor: DonorTensor) -> Expression:
    """The tensor that an adapter has in place of the donor's, in the donor's element type."""
    saved = module.adapter.stored.tensors[module.names[part]].spec
    if saved.shape != tensor.spec.shape:
        message = f"{tensor.spec.name} is {[*tensor.spec.shape]}, but the adapter brings one of {[*saved.shape]}"
        hint = "if the adapter has added tokens, merge it with peft and name the result as a donor"
        raise DonorError.of(message, hint)
    copy = module.copy(part)
    return copy if saved.dtype is tensor.spec.dtype else Cast(copy, tensor.spec.dtype)


def _replace_rows(module: ModuleTensors, tensor: DonorTensor, of: Expression) -> Expression:
    """A matrix with the rows of some tokens replaced by those that were trained (`trainable_token_indices`)."""
    rows, width = module.matrix(AdapterPart.TOKENS)
    tables = module.adapter.config.token_indices
    numbers = next((own for key, own in tables.items() if not key or f".{module.path}".endswith(f".{key}")), ())
    if len(numbers) != rows or tensor.spec.shape[1:] != (width,) or max(numbers, default=0) >= tensor.spec.shape[0]:
        message = f"the trained rows [{rows}, {width}] do not fit {tensor.spec.name} {[*tensor.spec.shape]}"
        raise DonorError.of(message, "fetch the adapter again, or check its base")
    runs = [RowRun(number, 1, place, 1) for place, number in enumerate(numbers)]
    starts, ends = [0, *(number + 1 for number in sorted(numbers))], [*sorted(numbers), tensor.spec.shape[0]]
    runs += [RowRun(start, 0, start, end - start) for start, end in zip(starts, ends, strict=True) if end > start]
    return Rows((of, module.copy(AdapterPart.TOKENS)), width, tuple(sorted(runs, key=lambda run: run.to)))


def _change_bias(targets: Targets, module: ModuleTensors, tensor: DonorTensor) -> Expression:
    of = _replace(module, AdapterPart.BIAS, tensor) if module.has(AdapterPart.BIAS) else read(targets, tensor)
    if not module.has(AdapterPart.B_BIAS):
        return of
    if module.adapter.shape(module.names[AdapterPart.B_BIAS]) != tensor.spec.shape:
        raise DonorError.of(f"the adapter's bias for {module.path} does not fit {tensor.spec.name}")
    factor = module.adapter.config.find_scaling(module.path)
    return _add_up([of, module.copy(AdapterPart.B_BIAS)], [1.0, factor], tensor.spec.name)


def _check_changeable(donor: Donor, tensor: DonorTensor, expression: Expression) -> Expression:
    """The expression, if the tensor holds plain numbers and belongs to one layer or none; else DonorError."""
    scaled = donor.quantized and tensor.spec.dtype.bits <= 8
    if scaled or not tensor.spec.dtype.arithmetic:
        message = f"{tensor.spec.name} is packed ({tensor.spec.dtype.label}), and an adapter cannot be added to it"
        raise DonorError.of(message, "use this donor in full precision")
    if tensor.part is Part.LAYER and tensor.layer is None:
        raise DonorError.of(f"{tensor.spec.name} has a part for every layer, and an adapter cannot be added to it yet")
    return expression
