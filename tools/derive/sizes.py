"""The formula behind a size: the first of a list of likely ones that fits every sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from stacker.arch.formula import FormulaError, parse_formula

LIKELY = (
    "hidden", "vocab", "ffn", "heads * head_dim", "kv_heads * head_dim", "head_dim", "experts", "expert_ffn", "heads",
    "kv_heads", "2 * ffn", "2 * expert_ffn", "(heads + 2 * kv_heads) * head_dim", "2 * heads * head_dim", "3 * hidden",
    "4 * hidden", "2 * hidden", "hidden // heads", "ffn * n_shared_experts", "expert_ffn * n_shared_experts",
    "q_lora_rank", "kv_lora_rank", "kv_lora_rank + qk_rope_head_dim", "heads * (qk_nope_head_dim + qk_rope_head_dim)",
    "heads * (qk_nope_head_dim + v_head_dim)", "heads * v_head_dim", "shared_expert_intermediate_size",
    "2 * linear_num_key_heads * linear_key_head_dim + linear_num_value_heads * linear_value_head_dim",
    "2 * linear_num_key_heads * linear_key_head_dim + 2 * linear_num_value_heads * linear_value_head_dim",
    "linear_num_value_heads * linear_value_head_dim", "2 * linear_num_value_heads", "linear_num_value_heads",
    "linear_value_head_dim", "linear_conv_kernel_dim", "max_position_embeddings", "max_position_embeddings + 2",
)  # fmt: skip
"""Sizes by the names that a family's dimensions have, the likeliest first."""

Names = Mapping[str, object]


def formula_for(sizes: Sequence[int], samples: Sequence[Names], first: str = "") -> str | None:
    """A formula that gives each sample its size, `first` if it does; None where none of those tried does."""
    if first and _fits(first, sizes, samples):
        return first
    if len(set(sizes)) == 1 and sizes[0] == 1:
        return "1"
    return next((text for text in _candidates(samples[0]) if _fits(text, sizes, samples)), None)


def _candidates(names: Names) -> Iterator[str]:
    yield from LIKELY
    numbers = [key for key, value in names.items() if isinstance(value, int) and not isinstance(value, bool)]
    yield from numbers
    yield from (f"2 * {key}" for key in numbers)
    for one, other in combinations(numbers, 2):
        yield from (f"{one} * {other}", f"{one} + {other}")
    yield from (f"{one} * hidden" for one in numbers)


def _fits(text: str, sizes: Sequence[int], samples: Sequence[Names]) -> bool:
    formula = parse_formula(text)
    try:
        return all(formula.value(names) == size for size, names in zip(sizes, samples, strict=True))
    except FormulaError:
        return False
