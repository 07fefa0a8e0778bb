"""Finds the formula of a size: the first of the likely formulas that fits every sample, or a sum of products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Any

from stacker.arch.files.formula import FormulaError, parse_formula

LIKELY = (
    "hidden", "vocab", "ffn", "heads * head_dim", "kv_heads * head_dim", "head_dim", "experts", "expert_ffn", "heads",
    "kv_heads", "positions", "2 * ffn", "2 * expert_ffn", "(heads + 2 * kv_heads) * head_dim",
    "2 * heads * head_dim", "3 * hidden", "4 * hidden", "2 * hidden", "hidden // heads",
    "ffn * n_shared_experts", "expert_ffn * n_shared_experts", "expert_ffn * num_shared_experts",
    "q_lora_rank", "kv_lora_rank", "kv_lora_rank + qk_rope_head_dim", "heads * (qk_nope_head_dim + qk_rope_head_dim)",
    "heads * (qk_nope_head_dim + v_head_dim)", "heads * v_head_dim", "shared_expert_intermediate_size",
    "2 * linear_num_key_heads * linear_key_head_dim + linear_num_value_heads * linear_value_head_dim",
    "2 * linear_num_key_heads * linear_key_head_dim + 2 * linear_num_value_heads * linear_value_head_dim",
    "linear_num_value_heads * linear_value_head_dim", "2 * linear_num_value_heads", "linear_num_value_heads",
    "linear_value_head_dim", "linear_conv_kernel_dim", "mamba_expand * hidden", "mamba_d_ssm",
    "mamba_expand * hidden + 2 * mamba_n_groups * mamba_d_state",
    "2 * mamba_expand * hidden + 2 * mamba_n_groups * mamba_d_state + mamba_n_heads",
    "mamba_d_ssm + 2 * mamba_n_groups * mamba_d_state",
    "2 * mamba_d_ssm + 2 * mamba_n_groups * mamba_d_state + mamba_n_heads",
    "max_position_embeddings", "max_position_embeddings + 2",
)  # fmt: skip
"""Likely formulas over a family's dimensions, the most likely first."""

Names = Mapping[str, Any]
Values = tuple[int, ...]


def find_formula(sizes: Sequence[int], samples: Sequence[Names], first: str = "") -> str | None:
    """A formula with the value `sizes[i]` in sample number i; None if no formula fits.

    `first` is tried before all other formulas.
    """
    wanted = tuple(sizes)
    for text in filter(None, (first, *LIKELY)):
        if _evaluate(text, samples) == wanted:
            return text
    if len(set(wanted)) == 1 and len(wanted) > 1:
        return str(wanted[0])  # no size of the config changes it
    terms = _make_products(_candidate_names(wanted, samples))
    return next(filter(None, (_find_sum(wanted, terms, most) for most in (1, 2, 3))), None)


def _evaluate(text: str, samples: Sequence[Names]) -> Values | None:
    formula = parse_formula(text)
    try:
        return tuple(formula.value(names) for names in samples)
    except FormulaError:
        return None


def _candidate_names(wanted: Values, samples: Sequence[Names]) -> dict[Values, str]:
    """Names of values that change only in samples where the wanted size changes, by their values in all samples.

    If names have equal values, dimensions come before config entries.
    """
    found: dict[Values, str] = {}
    for name, values in _integer_names(samples):
        moved = [place for place, value in enumerate(values) if value != values[0]]
        if all(wanted[place] != wanted[0] for place in moved) and (moved or len(samples) == 1):
            found.setdefault(values, name)
    return found


def _integer_names(samples: Sequence[Names]) -> Iterator[tuple[str, Values]]:
    """Every integer in the samples: its name (with a dot if nested) and its value in each sample."""
    first = samples[0]
    names = [*first, *(f"{key}.{inner}" for key, value in first.items() if isinstance(value, dict) for inner in value)]
    for name in names:
        if all(part.isidentifier() for part in name.split(".")):
            values = _evaluate(name, samples)
            if values and all(type(value) is int for value in values):
                yield name, values


def _make_products(numbers: Mapping[Values, str]) -> dict[Values, str]:
    found = dict(numbers)
    for count in (1, 2, 3):
        for some in combinations(numbers.items(), count):
            for factor in (1, 2, 3, 4):
                values = tuple(factor * prod(each) for each in zip(*(values for values, _ in some), strict=True))
                texts = [*([str(factor)] if factor > 1 else []), *(text for _, text in some)]
                found.setdefault(values, " * ".join(texts))
    return found


def _find_sum(wanted: Values, terms: Mapping[Values, str], most: int) -> str | None:
    """A sum of at most `most` terms that has the wanted value in each sample; None if there is none."""
    if wanted in terms or most == 1:
        return terms.get(wanted)
    for values, text in terms.items():
        rest = tuple(a - b for a, b in zip(wanted, values, strict=True))
        found = _find_sum(rest, terms, most - 1) if min(rest) > 0 else None
        if found:
            return f"{text} + {found}"
    return None
