"""passthrough: the source times its scale."""

from __future__ import annotations

import torch

from tests.ops.blending import blend


def test_scales_its_source() -> None:
    """Every element times the factor."""
    assert blend("passthrough", [torch.tensor([1.0, -2.0])], scale=0.5).equal(torch.tensor([0.5, -1.0]))


def test_is_the_source_without_a_scale() -> None:
    """The scale defaults to 1."""
    source = torch.tensor([1.0, torch.inf])
    assert blend("passthrough", [source]).equal(source)


def test_zero_gives_exact_zeros() -> None:
    """Even NaN, infinity and negative numbers become +0."""
    zeros = blend("passthrough", [torch.tensor([torch.nan, -torch.inf, -1.0])], scale=0.0)
    assert zeros.view(torch.int32).tolist() == [0, 0, 0]
